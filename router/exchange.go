package router

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist/router/http1"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// exchange sends the request over l and passes the answer on. After a failure
// with a title nothing has been sent to the client.
func (v *visit) exchange(l *link) *failure {
	reusable := false
	defer func() {
		if reusable {
			l.b.put(l)
		} else {
			l.raw.Close()
		}
	}()
	writeHead(l.bw, v.r, &v.fwd, v.upgrade)
	var up *upload
	if v.r.ContentLength != 0 {
		up = startUpload(v, l)
		defer up.stop()
	} else if err := l.bw.Flush(); err != nil {
		return failNoResponse
	}
	resp, fail := v.readHead(l, up)
	if fail != nil {
		return fail
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return v.switchProtocols(l, resp)
	}
	fail = v.passOn(l, resp)
	if fail == nil {
		reusable = !resp.Close && (up == nil || up.done()) && l.br.Buffered() == 0
	}
	return fail
}

// readHead reads the answer's head; informational ones before it, as many as the head may
// be long, are passed on.
func (v *visit) readHead(l *link, up *upload) (*http.Response, *failure) {
	for {
		resp, err := http.ReadResponse(l.br, v.r)
		if err != nil {
			return nil, v.headFailure(l, up, err)
		}
		if resp.StatusCode < 100 || !http1.ValidFields(resp.Header) {
			return nil, failBadResponse
		}
		switch code := resp.StatusCode; {
		case code == http.StatusContinue:
			if up != nil {
				up.proceed()
			}
		case code == http.StatusSwitchingProtocols && v.upgrade != "", code >= 200:
			l.headDone(v.idle())
			return resp, nil
		case code == http.StatusSwitchingProtocols:
			return nil, failBadResponse
		default: // 103 Early Hints and the like
			v.copyHeader(resp)
			v.w.WriteHeader(code)
			clear(v.w.Header())
		}
	}
}

// headFailure says why there is no answer.
func (v *visit) headFailure(l *link, up *upload, err error) *failure {
	if up != nil {
		if fail := up.failure(); fail != nil {
			return fail
		}
	}
	switch {
	case errors.Is(err, errClientGone):
		return failClientCut
	case errors.Is(err, errTimeout) && up != nil && up.waiting.Load():
		return failClientIdle
	case errors.Is(err, errTimeout):
		return failTimeout
	case errors.Is(err, errHeadTooBig) || l.got && !errors.Is(err, io.ErrUnexpectedEOF):
		return failBadResponse
	}
	return failNoResponse
}

// copyHeader passes on the answer's headers, without those of the connection.
func (v *visit) copyHeader(resp *http.Response) {
	stripHopByHop(resp.Header)
	h := v.w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	if resp.StatusCode < 200 || resp.StatusCode == http.StatusNoContent {
		delete(h, "Content-Length") // they have no body (RFC 9110, section 8.6); who believed it would wait
	}
	if old := h["Via"]; old != nil {
		h["Via"] = []string{strings.Join(old, ", ") + ", " + via}
	} else {
		h["Via"] = viaValue
	}
}

var viaValue = []string{via}

// passOn sends the answer to the client as it comes.
func (v *visit) passOn(l *link, resp *http.Response) *failure {
	v.copyHeader(resp)
	if len(resp.Trailer) > 0 {
		names := make([]string, 0, len(resp.Trailer))
		for name := range resp.Trailer {
			names = append(names, name)
		}
		v.w.Header()["Trailer"] = []string{strings.Join(names, ", ")}
	}
	v.status = resp.StatusCode
	v.w.WriteHeader(resp.StatusCode)
	if l.br.Buffered() == 0 && resp.ContentLength != 0 && resp.Body != http.NoBody {
		v.flush() // the head does not wait for a body that is not there
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := resp.Body.Read(*buf)
		if n > 0 {
			if fail := v.write((*buf)[:n]); fail != nil {
				return fail
			}
			v.bytes += int64(n)
			// What is there goes out at once, but the end goes with it.
			if err == nil && l.br.Buffered() == 0 && v.bytes != resp.ContentLength {
				v.flush()
			}
		}
		switch {
		case err == nil && v.bytes != resp.ContentLength:
			continue
		case err == nil || err == io.EOF:
			for name, values := range resp.Trailer {
				v.w.Header()[http.TrailerPrefix+name] = values
			}
			return nil
		case errors.Is(err, errClientGone):
			return cut(failClientCut)
		case errors.Is(err, errTimeout):
			return cut(failIdle)
		default:
			return cut(failServerCut)
		}
	}
}

// write sends a piece of the answer's body to the client.
func (v *visit) write(p []byte) *failure {
	v.writes.begin()
	_, err := v.w.Write(p)
	v.writes.end()
	switch {
	case err == nil:
		return nil
	case isTimeout(err) || v.writes.gaveUp():
		return failClientIdle
	}
	return failClientCut
}

func (v *visit) flush() {
	v.writes.begin()
	v.w.(http.Flusher).Flush() // an error shows at the next write
	v.writes.end()
}

// cut makes a failure one after which nothing can be told to the client.
func cut(f *failure) *failure {
	c := *f
	c.title = ""
	return &c
}

// upload sends a request's body beside the reading of the answer.
type upload struct {
	v        *visit
	l        *link
	may      chan struct{} // closed when the body may be sent
	once     sync.Once
	aborted  chan struct{} // closed when the body is not wanted any more
	waiting  atomic.Bool   // for the client
	ending   atomic.Bool   // the client's part is over
	finished chan struct{}
	readErr  error // of the client; valid once finished
	writeErr error // of the dyno; valid once finished
}

// expectWait is how long a dyno may take to say 100 Continue before it is sent
// the body all the same (RFC 9110, section 10.1.1).
const expectWait = time.Second

func startUpload(v *visit, l *link) *upload {
	u := &upload{v: v, l: l, may: make(chan struct{}), aborted: make(chan struct{}), finished: make(chan struct{})}
	expects := len(v.r.Header["Expect"]) > 0
	if !expects {
		u.proceed()
	}
	// Silence is measured from here on byte by byte; the time to the first
	// byte of the answer begins when the body is through.
	l.advance(asking, v.idle())
	go func() {
		defer u.finish()
		if b, ok := v.w.(interface{ BodyBuffered() bool }); expects || !ok || !b.BodyBuffered() {
			u.writeErr = l.bw.Flush() // the head goes first if the body is not there, or waits for the dyno's word
		}
		if expects {
			select {
			case <-u.may:
			case <-time.After(expectWait):
			case <-u.aborted:
				u.readErr = errClientGone
				return
			}
		}
		u.run()
	}()
	return u
}

// proceed lets a body go that waited for 100 Continue.
func (u *upload) proceed() { u.once.Do(func() { close(u.may) }) }

func (u *upload) run() {
	if u.writeErr != nil {
		return
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	chunked := u.v.r.ContentLength < 0
	for {
		u.waiting.Store(true)
		n, err := u.v.r.Body.Read(*buf)
		u.waiting.Store(false)
		u.ending.Store(err == io.EOF)
		if n > 0 {
			if u.writeErr = writePiece(u.l.bw, (*buf)[:n], chunked); u.writeErr != nil {
				return
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			u.readErr = err
			return
		}
	}
	if chunked {
		u.l.bw.WriteString("0\r\n")
		for name, values := range u.v.r.Trailer {
			if ours(name) || impostor(name) {
				continue
			}
			for _, value := range values {
				http1.WriteField(u.l.bw, name, value)
			}
		}
		u.l.bw.WriteString("\r\n")
	}
	u.writeErr = u.l.bw.Flush()
	u.l.advance(expecting, u.v.firstByte())
}

// finish is the end of the upload. Of a body that broke off the reader of the answer
// learns only after it is known why.
func (u *upload) finish() {
	close(u.finished)
	if u.readErr != nil {
		u.l.raw.Close() // the dyno must not take it for whole; wakes the reader
	}
}

func writePiece(b *bufio.Writer, p []byte, chunked bool) error {
	if chunked {
		fmt.Fprintf(b, "%x\r\n", len(p))
	}
	b.Write(p)
	if chunked {
		b.WriteString("\r\n")
	}
	return b.Flush()
}

// done reports whether all of the body went through.
func (u *upload) done() bool {
	select {
	case <-u.finished:
		return u.readErr == nil && u.writeErr == nil
	default:
		return false
	}
}

// failure is the client's part in there being no answer, if it has one.
func (u *upload) failure() *failure {
	select {
	case <-u.finished:
	default:
		return nil
	}
	var refused *http1.Error
	switch {
	case u.readErr == nil:
		return nil
	case errors.As(u.readErr, &refused):
		return badRequest(refused.Status, refused.Reason)
	case isTimeout(u.readErr):
		return failClientIdle
	}
	return failClientCut
}

// stop ends an upload the dyno did not wait for.
func (u *upload) stop() {
	if u.done() {
		return
	}
	if u.ending.Load() { // all has been read; a moment and it is done
		select {
		case <-u.finished:
			return
		case <-time.After(time.Second):
		}
	}
	close(u.aborted)
	u.l.raw.Close()
	if a, ok := u.v.w.(interface{ AbortBody() }); ok {
		a.AbortBody()
	} else {
		http.NewResponseController(u.v.w).SetReadDeadline(time.Unix(1, 0))
	}
	<-u.finished
}
