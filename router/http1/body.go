package http1

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// errBodyClosed is what reading a body after the handler's end gives.
var errBodyClosed = errors.New("http1: the request's body is read after the end of its handler")

// body is a request's body: by length or in chunks.
type body struct {
	c         *conn
	r         *http.Request
	remaining int64 // of the length or the chunk
	chunked   bool
	inChunk   bool // a chunk's CR LF is due when remaining is 0
	expects   bool // the client waits for 100 Continue
	err       error
}

// done reports whether all of the body has been read.
func (b *body) done() bool { return b.err == io.EOF }

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.expects {
		b.expects = false
		if err := b.c.w.sendContinue(); err != nil {
			return 0, b.fail(err)
		}
	}
	if b.chunked && b.remaining == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, b.fail(err)
		}
	}
	if int64(len(p)) > b.remaining {
		p = p[:b.remaining]
	}
	b.c.readDeadline(b.c.w.timeout)
	if b.c.aborted.Load() { // asked after the deadline was set, which AbortBody changes
		return 0, b.fail(errBodyClosed)
	}
	n, err := b.c.read(p)
	b.remaining -= int64(n)
	if b.remaining == 0 && !b.chunked { // whole, even if TLS's end came with it
		return n, b.fail(io.EOF)
	}
	if err != nil {
		return n, b.fail(unexpected(err))
	}
	return n, nil
}

// Close does not read the rest; the connection does after the handler.
func (b *body) Close() error { return nil }

// fail keeps the error; all but io.EOF leave the connection unusable.
func (b *body) fail(err error) error {
	b.err = err
	return err
}

// nextChunk reads a chunk's first line; io.EOF after the last one's trailers.
func (b *body) nextChunk() error {
	b.c.readDeadline(b.c.w.timeout)
	if b.c.aborted.Load() {
		return errBodyClosed
	}
	if b.inChunk {
		if line, err := b.c.readLine(2); err != nil {
			return unexpected(err)
		} else if line != "" {
			return bad("A chunk is longer than it says.")
		}
		b.inChunk = false
	}
	line, err := b.c.readLine(chunkLineLimit)
	if err != nil {
		return unexpected(err)
	}
	size, ext, _ := strings.Cut(line, ";") // extensions mean nothing to a proxy
	if b.remaining, err = parseChunkSize(size); err != nil || !validValue(ext) {
		b.remaining = 0
		return bad("A chunk's size is not a hexadecimal number.")
	}
	if b.remaining > 0 {
		b.inChunk = true
		return nil
	}
	trailer, err := b.c.readTrailer()
	if err != nil {
		return unexpected(err)
	}
	if len(trailer) > 0 {
		b.r.Trailer = trailer
	}
	return io.EOF
}

// chunkLineLimit bounds a chunk's size and its extensions, in bytes.
const chunkLineLimit = 256

func parseChunkSize(s string) (int64, error) {
	if s == "" || len(s) > 15 {
		return 0, errors.New("length")
	}
	var n int64
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errors.New("digit")
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// forbiddenTrailers change how a message is read and may not come late
// (RFC 9110, section 6.5.1).
var forbiddenTrailers = []string{"Content-Length", "Transfer-Encoding", "Host", "Trailer", "Connection",
	"Content-Encoding", "Content-Type", "Content-Range", "Te", "Upgrade", "Authorization", "Cookie"}

func (c *conn) readTrailer() (http.Header, error) {
	var text strings.Builder
	for {
		line, err := c.readLine(c.s.Limits.Line + 2)
		if err != nil {
			return nil, err
		}
		text.WriteString(line + "\r\n")
		if line == "" {
			break
		}
		if text.Len() > c.s.Limits.Head {
			return nil, &Error{http.StatusRequestHeaderFieldsTooLarge, "The trailers are too long."}
		}
	}
	h, err := parseFields(text.String(), c.s.Limits)
	for _, name := range forbiddenTrailers {
		delete(h, name)
	}
	return h, err
}
