package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// A build's output that breaks off is asked for again, this often in a row.
const (
	attachTries = 30
	attachPause = time.Second
)

// follower shows a text that may have to be asked for again, once.
type follower struct {
	to    io.Writer
	shown int64  // bytes
	tail  []byte // the last of them
}

// tailKept is by how much of its end a text is known again if its beginning is gone, in bytes.
const tailKept = 512

// Write shows more.
func (f *follower) Write(p []byte) (int, error) {
	n, err := f.to.Write(p)
	f.shown += int64(n)
	f.tail = append(f.tail, p[:n]...)
	f.tail = append(f.tail[:0], f.tail[max(0, len(f.tail)-tailKept):]...)
	return n, err
}

// attach shows what is at the URL beyond what was shown already, until its end.
func (f *follower) attach(ctx context.Context, c *client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := c.do(req) // without our token: the URL is the secret
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var known bytes.Buffer
	_, err = io.CopyN(&known, res.Body, f.shown)
	if err != nil && err != io.EOF {
		return err
	}
	if !bytes.HasSuffix(known.Bytes(), f.tail) {
		// Of a long output only the end is kept once the build has ended.
		if _, err := io.Copy(&known, res.Body); err != nil {
			return err
		}
		rest := known.Bytes()
		if i := bytes.LastIndex(rest, f.tail); i >= 0 {
			rest = rest[i+len(f.tail):]
		}
		_, err = f.Write(rest)
		return err
	}
	_, err = io.Copy(f, res.Body)
	return err
}
