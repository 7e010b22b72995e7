package slug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var errNotFound = errors.New("it is not there")

// attempts is how often a transfer is tried; the blob store may be restarted
// under us.
const attempts = 5

// retry calls f until it succeeds or fails for good, waiting longer each time.
func retry(ctx context.Context, f func() (again bool, err error)) error {
	wait := 200 * time.Millisecond
	for i := 1; ; i++ {
		again, err := f()
		if err == nil || !again || i == attempts || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 3
	}
}

// get opens a URL. Its errors do not show the URL, which may be presigned.
func get(ctx context.Context, address string) (body io.ReadCloser, err error) {
	body, _, err = open(ctx, address)
	return body, err
}

// open is get, and returns the ETag: what no other content at this URL has.
func open(ctx context.Context, address string) (body io.ReadCloser, tag string, err error) {
	err = retry(ctx, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return false, withoutURL(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return true, withoutURL(err)
		}
		if resp.StatusCode == http.StatusOK {
			body, tag = resp.Body, resp.Header.Get("ETag")
			return false, nil
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return false, errNotFound
		}
		return resp.StatusCode >= 500, fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	})
	return body, tag, err
}

func getBytes(ctx context.Context, address string, limit int64) ([]byte, error) {
	body, err := get(ctx, address)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return text, err
}

// put stores size bytes of r at a URL.
func put(ctx context.Context, address string, r io.ReadSeeker, size int64) error {
	return retry(ctx, func() (bool, error) {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, io.NopCloser(r))
		if err != nil {
			return false, withoutURL(err)
		}
		req.ContentLength = size
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return true, withoutURL(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode/100 == 2 {
			io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
			return false, nil
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return resp.StatusCode >= 500, fmt.Errorf("%s answered %s: %s", req.URL.Host, resp.Status, strings.TrimSpace(string(text)))
	})
}

func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
