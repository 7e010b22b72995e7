package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hoist-sh/hoist"
)

// awayFor is how long a client waits for a store that does not answer.
const awayFor = 30 * time.Second

// Client is a client of a file store; it implements hoist.Blobs.
type Client struct {
	user, secret       string
	base, dyno, public *url.URL
	http               *http.Client
}

var _ hoist.Blobs = (*Client)(nil)

// newClient takes hoist://USER:SECRET@HOST:PORT?dyno=URL&public=URL.
func newClient(u *url.URL) (*Client, error) {
	secret, _ := u.User.Password()
	if u.Host == "" || u.User.Username() == "" || secret == "" {
		return nil, errors.New("want hoist://USER:SECRET@HOST:PORT?dyno=URL&public=URL")
	}
	c := &Client{user: u.User.Username(), secret: secret, base: &url.URL{Scheme: "http", Host: u.Host}}
	for name, to := range map[string]**url.URL{"dyno": &c.dyno, "public": &c.public} {
		*to = c.base
		if v := u.Query().Get(name); v != "" {
			parsed, err := url.Parse(v)
			if err != nil || parsed.Host == "" {
				return nil, fmt.Errorf("%s=%q is not a URL", name, v)
			}
			*to = parsed
		}
	}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 2 * time.Minute, // a big file is read before it is sent
		DisableCompression:    true,
	}}
	return c, nil
}

// Put implements hoist.Blobs. What was stored is compared with what was sent.
func (c *Client) Put(ctx context.Context, key string, r io.Reader, size, limit int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if size > limit {
		return tooLarge(limit)
	}
	hash := sha256.New()
	body := &watchedReader{r: io.TeeReader(&limitedReader{r: r, left: limit, limit: limit}, hash)}
	resp, err := c.do(ctx, ticket{method: http.MethodPut, key: key, limit: limit}, body, size)
	if body.err != nil { // why the upload broke off
		err = body.err
	}
	if err != nil {
		return fmt.Errorf("put blob %s: %w", key, err)
	}
	defer resp.Body.Close()
	if got, want := resp.Header.Get("ETag"), `"`+hexSum(hash.Sum(nil))+`"`; got != want {
		return fmt.Errorf("put blob %s: the store has %s, sent was %s", key, got, want)
	}
	return nil
}

// Get implements hoist.Blobs. The reader ends with an error, not with io.EOF,
// if what came is not what was stored.
func (c *Client) Get(ctx context.Context, key string) (io.ReadCloser, hoist.BlobInfo, error) {
	resp, err := c.do(ctx, ticket{method: http.MethodGet, key: key}, nil, 0)
	if err != nil {
		return nil, hoist.BlobInfo{}, fmt.Errorf("get blob %s: %w", key, err)
	}
	info := blobInfo(key, resp)
	return &verifiedBody{ReadCloser: resp.Body, hash: sha256.New(), etag: resp.Header.Get("ETag"), info: info}, info, nil
}

// Stat implements hoist.Blobs.
func (c *Client) Stat(ctx context.Context, key string) (hoist.BlobInfo, error) {
	resp, err := c.do(ctx, ticket{method: http.MethodHead, key: key}, nil, 0)
	if err != nil {
		return hoist.BlobInfo{}, fmt.Errorf("stat blob %s: %w", key, err)
	}
	resp.Body.Close()
	return blobInfo(key, resp), nil
}

// Delete implements hoist.Blobs.
func (c *Client) Delete(ctx context.Context, key string) error {
	resp, err := c.do(ctx, ticket{method: http.MethodDelete, key: key}, nil, 0)
	if err != nil {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}
	return resp.Body.Close()
}

// List implements hoist.Blobs.
func (c *Client) List(ctx context.Context, prefix string, f func(hoist.BlobInfo) error) error {
	resp, err := c.do(ctx, ticket{method: methodList, key: prefix}, nil, 0)
	if err != nil {
		return fmt.Errorf("list blobs %s: %w", prefix, err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var l listing
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("list blobs %s: broken off: %w", prefix, err)
		}
		if l.Key == "" {
			return nil
		}
		if err := f(hoist.BlobInfo(l)); err != nil {
			return err
		}
	}
}

// Presign implements hoist.Blobs.
func (c *Client) Presign(_ context.Context, method, key string, ttl time.Duration, from hoist.Viewpoint) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	base := c.public
	if from == hoist.FromDyno {
		base = c.dyno
	}
	t := ticket{method: method, key: key}
	switch method {
	case http.MethodGet:
	case http.MethodPut:
		t.limit = hoist.PresignedLimit
	default:
		return "", hoist.Invalid("presign: method %q; GET or PUT", method)
	}
	return c.sign(t, base, ttl), nil
}

func (c *Client) sign(t ticket, base *url.URL, ttl time.Duration) string {
	t.user, t.expires = c.user, time.Now().Add(ttl).Unix()
	return t.sign(base, c.secret)
}

// do sends a request of our own. A store that is not there is waited for, as
// nothing was sent then.
func (c *Client) do(ctx context.Context, t ticket, body io.Reader, size int64) (*http.Response, error) {
	method := t.method
	if method == methodList {
		method = http.MethodGet
	}
	start := time.Now()
	for {
		var rc io.ReadCloser = http.NoBody
		if body != nil && size != 0 {
			rc = io.NopCloser(body) // kept open for another try
		}
		req, err := http.NewRequestWithContext(ctx, method, c.sign(t, c.base, 5*time.Minute), rc)
		if err != nil {
			return nil, err
		}
		if body != nil {
			req.ContentLength = size
		}
		resp, err := c.http.Do(req)
		if err == nil {
			if resp.StatusCode < 300 {
				return resp, nil
			}
			defer resp.Body.Close()
			return nil, responseError(resp)
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its text would show the signature
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || time.Since(start) > awayFor {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func responseError(resp *http.Response) error {
	var e hoist.Error
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 10_000))
	if json.Unmarshal(body, &e) == nil && e.ID != "" {
		e.Status = resp.StatusCode
		return &e
	}
	if resp.StatusCode == http.StatusNotFound {
		return hoist.NotFound("blob")
	}
	return fmt.Errorf("blob store: %s: %.200q", resp.Status, body)
}

func blobInfo(key string, resp *http.Response) hoist.BlobInfo {
	modTime, _ := http.ParseTime(resp.Header.Get("Last-Modified"))
	return hoist.BlobInfo{Key: key, Size: resp.ContentLength, ModTime: modTime}
}

func hexSum(sum []byte) string { return hex.EncodeToString(sum) }
