package http1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// response is an http.ResponseWriter, http.Flusher and http.Hijacker. Beyond net/http it
// keeps the header names as they are given, adds none but those of framing,
// and buffers until Flush or the end.
type response struct {
	c      *conn
	r      *http.Request
	header http.Header
	bw     *bufio.Writer

	mu        sync.Mutex // wroteHead and expects: the body may be read by another goroutine
	wroteHead bool
	expects   bool // the client waits for 100 Continue
	status    int
	chunked   bool
	noBody    bool  // HEAD, 1xx, 204, 304
	left      int64 // of the Content-Length; -1 if none
	close     bool  // the connection, afterwards
	deadline  time.Time
	timeout   time.Duration // between two pieces of a body, either way
	err       error
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 8<<10) }}

func (w *response) start(c *conn, r *http.Request) {
	w.c, w.r, w.bw, w.err, w.timeout = c, r, nil, nil, c.s.BodyTimeout
	w.header = make(http.Header, 8)
	b, ok := r.Body.(*body)
	w.expects = ok && b.expects
	w.wroteHead, w.status, w.chunked, w.noBody, w.left, w.close = false, 0, false, false, -1, r.Close
}

// SetBodyTimeout is instead of the server's BodyTimeout for this request. It is called before the body is read
// or anything is written.
func (w *response) SetBodyTimeout(d time.Duration) { w.timeout = d }

// Gone reports whether the client has gone away.
func (w *response) Gone() bool { return w.c.peer.Gone() }

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

func (w *response) writer() *bufio.Writer {
	if w.bw == nil {
		w.bw = writers.Get().(*bufio.Writer)
		w.bw.Reset(w.c.raw)
	}
	w.writeDeadline()
	return w.bw
}

// writeDeadline is due before each write: a client that takes nothing holds us this long. It is
// set lazily, as for reads.
func (w *response) writeDeadline() {
	now := time.Now()
	if left := w.deadline.Sub(now); left < w.timeout*7/8 || left > w.timeout {
		w.deadline = now.Add(w.timeout)
		w.c.raw.SetWriteDeadline(w.deadline)
	}
}

// WriteHeader implements http.ResponseWriter. A status of 1xx is sent at once
// and may be followed by others; 101 is the last.
func (w *response) WriteHeader(status int) {
	if w.wroteHead {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		if w.r.ProtoMinor > 0 {
			w.mu.Lock()
			w.writeHead(status)
			w.err = errors.Join(w.err, w.bw.Flush())
			w.mu.Unlock()
		}
		return
	}
	w.mu.Lock()
	w.wroteHead = true
	w.close = w.close || w.expects // it may send its body or not
	w.mu.Unlock()
	w.status = status
	w.noBody = w.r.Method == "HEAD" || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if v := w.header["Content-Length"]; len(v) == 1 {
		w.left, _ = parseLength(v[0])
	} else if !w.noBody {
		w.chunked = w.r.ProtoMinor > 0
		w.close = w.close || !w.chunked // HTTP/1.0: the end is the connection's
	}
	if w.c.s.draining.Load() || HasToken(w.header.Get("Connection"), "close") {
		w.close = true
	}
	w.writeHead(status)
}

func (w *response) writeHead(status int) {
	b := w.writer()
	b.WriteString("HTTP/1.1 ")
	var digits [20]byte
	b.Write(strconv.AppendInt(digits[:0], int64(status), 10))
	b.WriteByte(' ')
	b.WriteString(http.StatusText(status))
	b.WriteString("\r\n")
	for name, values := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		if name == "Connection" && status != http.StatusSwitchingProtocols {
			continue
		}
		for _, v := range values {
			WriteField(b, name, v)
		}
	}
	if status >= 200 {
		if w.chunked {
			b.WriteString("Transfer-Encoding: chunked\r\n")
		}
		if w.close {
			b.WriteString("Connection: close\r\n")
		} else if w.r.ProtoMinor == 0 {
			b.WriteString("Connection: keep-alive\r\n")
		}
	}
	b.WriteString("\r\n")
}

// WriteField writes a header line, with any line's end in the value made a
// space.
func WriteField(b *bufio.Writer, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	if strings.ContainsAny(value, "\r\n") {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	b.WriteString(value)
	b.WriteString("\r\n")
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if !w.wroteHead {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.noBody || len(p) == 0 {
		return len(p), nil
	}
	b := w.writer()
	if w.left >= 0 {
		if int64(len(p)) > w.left {
			w.err = http.ErrContentLength
			return 0, w.err
		}
		w.left -= int64(len(p))
	}
	if w.chunked {
		var size [18]byte
		b.Write(append(strconv.AppendInt(size[:0], int64(len(p)), 16), '\r', '\n'))
	}
	n, err := b.Write(p)
	if w.chunked && err == nil {
		_, err = b.WriteString("\r\n")
	}
	w.err = err
	return n, err
}

// FlushError implements what http.ResponseController calls.
func (w *response) FlushError() error {
	if !w.wroteHead {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil && w.bw != nil {
		w.err = w.writer().Flush()
	}
	return w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { w.FlushError() }

// AbortBody makes reads of the request's body fail, also one that waits. The
// connection ends with the response.
func (w *response) AbortBody() {
	w.c.aborted.Store(true)
	w.c.raw.SetReadDeadline(time.Unix(1, 0))
}

// BodyBuffered reports whether some of the body has arrived already.
func (w *response) BodyBuffered() bool { return w.c.r < w.c.w_ }

// Hijack implements http.Hijacker. What the head put into the buffer is sent
// by flushing the writer that is returned; the connection is the caller's to
// close, before its handler ends.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.c
	c.hijacked = true
	c.raw.SetDeadline(time.Time{})
	rest := strings.NewReader(string(c.buf[c.r:c.w_]))
	br := bufio.NewReader(io.MultiReader(rest, c.raw))
	return c.raw, bufio.NewReadWriter(br, w.writer()), nil
}

// finish ends the response: the last chunk, the trailers, what is buffered.
func (w *response) finish() error {
	if !w.wroteHead {
		w.WriteHeader(http.StatusOK)
	}
	if w.left > 0 && !w.noBody {
		w.err = errors.Join(w.err, http.ErrContentLength) // the client must not take it for whole
	}
	if w.chunked && w.err == nil {
		b := w.writer()
		b.WriteString("0\r\n")
		for name, values := range w.header {
			if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
				for _, v := range values {
					WriteField(b, name, v)
				}
			}
		}
		b.WriteString("\r\n")
	}
	if w.bw != nil {
		if w.err == nil {
			w.err = w.writer().Flush()
		}
		w.bw.Reset(nil)
		writers.Put(w.bw)
		w.bw = nil
	}
	return w.err
}

// sendContinue tells a waiting client to send its body, unless it has got its
// answer already.
func (w *response) sendContinue() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wroteHead {
		return nil
	}
	w.expects = false
	w.writeDeadline()
	_, err := io.WriteString(w.c.raw, "HTTP/1.1 100 Continue\r\n\r\n")
	return err
}
