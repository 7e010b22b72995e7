package router_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/router"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client of HTTP/2 that sends what no decent one does.
type frames struct {
	*http2.Framer
	t    testing.TB
	conn *tls.Conn
}

func (w *world) frames(settings ...http2.Setting) *frames {
	w.t.Helper()
	cfg := w.tls()
	cfg.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", w.https, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, http2.ClientPreface)
	f := &frames{http2.NewFramer(c, c), w.t, c}
	f.ReadMetaHeaders = hpack.NewDecoder(1<<20, nil)
	if err := f.WriteSettings(settings...); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// headers sends a request's headers, pairs of name and value, on stream 1.
func (f *frames) headers(end bool, pairs ...string) {
	f.t.Helper()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		f.t.Fatal(err)
	}
}

// answer reads until stream 1 has ended: the status, "reset" if there was no whole answer, and the body.
func (f *frames) answer() (status, body string) {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			f.t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status = frame.PseudoValue("status")
			if frame.StreamEnded() {
				return status, body
			}
		case *http2.DataFrame:
			body += string(frame.Data())
			if frame.StreamEnded() {
				return status, body
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset", body
		}
	}
}

// The lines of HTTP/1.1 that an app gets are what the client of HTTP/2 meant, or there are none.
func TestWhatHTTP2LetsPassDoesNotBecomeAnotherRequest(t *testing.T) {
	w := newWorld(t)
	_, host := w.raw(func(c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil || r.RequestURI != "/fine" || len(r.Host) == 0 {
			t.Errorf("the app got %+v, %v", r, err)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	for _, c := range []struct {
		name   string
		status string
		pairs  []string
	}{
		{"nothing wrong", "200", nil},
		{"a host that says the same", "200", []string{"host", strings.ToUpper(host)}},
		{"a method with a target", "400", []string{":method", "GET /admin HTTP/1.1"}},
		{"a method that is no token", "400", []string{":method", "G(T"}},
		{"CONNECT with a path", "reset", []string{":method", "CONNECT"}},
		{"a path with a space", "400", []string{":path", "/a HTTP/1.1"}},
		{"a path with a fragment", "400", []string{":path", "/a#b"}},
		{"an absolute path", "400", []string{":path", "http://other.test/"}},
		{"an asterisk", "400", []string{":path", "*"}},
		{"a path of 9000 bytes", "414", []string{":path", "/" + strings.Repeat("a", 9000)}},
		{"another host beside the authority", "400", []string{"host", "other.test"}},
		{"two hosts", "400", []string{"host", host, "host", "other.test"}},
		{"a port that is none", "400", []string{":authority", host + ":evil"}},
		{"an authority with a space", "400", []string{":authority", host + ":80 x"}},
		{"an authority with a path", "400", []string{":authority", host + "/x"}},
		{"a header of 9000 bytes", "431", []string{"a", strings.Repeat("a", 9000)}},
		{"a list of lengths", "400", []string{"content-length", "0,0"}},
		{"two lengths", "400", []string{"content-length", "0", "content-length", "5"}},
		{"an unknown expectation", "417", []string{"expect", "tea"}},
		{"a coding", "400", []string{"transfer-encoding", "chunked"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := w.frames()
			pairs := []string{":method", "GET", ":scheme", "https", ":authority", host, ":path", "/fine"}
		next:
			for i := 0; i < len(c.pairs); i += 2 {
				for j := 0; j < len(pairs); j += 2 {
					if pairs[j] == c.pairs[i] && pairs[j][0] == ':' {
						pairs[j+1] = c.pairs[i+1]
						continue next
					}
				}
				pairs = append(pairs, c.pairs[i], c.pairs[i+1])
			}
			f.headers(true, pairs...)
			if status, body := f.answer(); status != c.status {
				t.Errorf("%s %s", status, body)
			}
		})
	}
}

// A client that grants no window holds its dyno for the idle time only, but may be slow.
func TestAClientOfHTTP2ThatTakesNothingIsLeft(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Idle = 3 * time.Second })
	written := make(chan error, 2)
	app, host := w.raw(func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
		var err error
		for p := make([]byte, 1<<16); err == nil; {
			_, err = c.Write(p)
		}
		written <- err
	})
	f := w.frames(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
	f.headers(true, ":method", "GET", ":scheme", "https", ":authority", host, ":path", "/")
	const slow, piece = 5, 50_000
	for i := range slow { // longer than the idle time in all
		time.Sleep(700 * time.Millisecond)
		if err := errors.Join(f.WriteWindowUpdate(0, piece), f.WriteWindowUpdate(1, piece)); err != nil {
			t.Fatal(i, err)
		}
	}
	if status, body := f.answer(); status != "reset" || len(body) < slow*piece {
		t.Errorf("%s after %d bytes", status, len(body))
	}
	select {
	case <-written:
	case <-time.After(10 * time.Second):
		t.Fatal("the app still writes for nobody")
	}
	w.logLine(app, "at=error code=H28", " status=499 ")
}

func TestAStreamThatTheClientHasCancelledIsLeftAlone(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Idle = 300 * time.Millisecond })
	app, host := w.raw(func(c net.Conn) { io.Copy(io.Discard, c) })
	f := w.frames()
	f.headers(true, ":method", "GET", ":scheme", "https", ":authority", host, ":path", "/")
	f.WriteRSTStream(1, http2.ErrCodeCancel)
	w.logLine(app, "code=H27")
	f.conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			break
		}
		if _, reset := frame.(*http2.RSTStreamFrame); reset {
			t.Error(frame)
		}
	}
}

// An app's silence is not the client's.
func TestAStreamOfEventsMayPauseInHTTP2(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Idle = 2 * time.Second })
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		for range 4 {
			io.WriteString(rw, "data: x\n\n")
			rw.(http.Flusher).Flush()
			time.Sleep(700 * time.Millisecond)
		}
	})
	f := w.frames()
	f.headers(true, ":method", "GET", ":scheme", "https", ":authority", host, ":path", "/")
	if status, body := f.answer(); status != "200" || len(body) != 4*len("data: x\n\n") {
		t.Errorf("%s %q", status, body)
	}
}

// Who does not send the body that was announced is to blame, and not the app.
func TestABodyThatBreaksOffIsTheClientsFault(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Idle = 2 * time.Second })
	newApp := func() (app, host string) {
		return w.raw(func(c net.Conn) { io.Copy(io.Discard, c) })
	}
	post := func(host string) string {
		return "POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	}
	t.Run("no chunk", func(t *testing.T) {
		_, host := newApp()
		if answer := w.send(post(host) + "0x3\r\nabc\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "hexadecimal") {
			t.Error(answer)
		}
	})
	t.Run("silence", func(t *testing.T) {
		app, host := newApp()
		w.send(post(host))
		w.logLine(app, "code=H28", "status=499")
	})
	t.Run("silence in HTTP/2", func(t *testing.T) {
		app, host := newApp()
		f := w.frames()
		f.headers(false, ":method", "POST", ":scheme", "https", ":authority", host, ":path", "/")
		f.WriteData(1, false, []byte("abc"))
		if status, body := f.answer(); status != "reset" {
			t.Error(status, body)
		}
		w.logLine(app, "code=H28", "status=499")
	})
	t.Run("gone", func(t *testing.T) {
		app, host := newApp()
		c, err := net.Dial("tcp", w.http)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, post(host))
		time.Sleep(100 * time.Millisecond)
		c.Close()
		w.logLine(app, "code=H27", "status=499")
	})
	t.Run("a length that is not kept in HTTP/2", func(t *testing.T) {
		app, host := newApp()
		f := w.frames()
		f.headers(false, ":method", "POST", ":scheme", "https", ":authority", host, ":path", "/", "content-length", "10")
		f.WriteData(1, true, []byte("abc"))
		if status, _ := f.answer(); status == "200" || status == "503" {
			t.Error(status)
		}
		w.logLine(app, "code=H27")
	})
}

func TestOtherDynosAreTriedWhenOneDoesNotConnect(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Connect = time.Second })
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ok") })
	full := fullAddr(t)
	w.dyno(app, 2, "up", full)
	w.eventually(func() bool { return w.backends(host) == 2 })
	for range 8 { // either may come first, and one that did not connect comes last for a while
		if resp, body := w.get(host, "/"); resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode, body)
		}
	}
}

// fullAddr is the address of a server that accepts nothing and whose queue is full: it does
// not answer who connects.
func fullAddr(t testing.TB) string {
	t.Helper()
	l := listenWithQueue(t, 0)
	for range 4 { // each takes a place or waits for one
		c, err := net.DialTimeout("tcp", l, 200*time.Millisecond)
		var timeout net.Error
		if err == nil {
			t.Cleanup(func() { c.Close() })
		} else if errors.As(err, &timeout) && timeout.Timeout() {
			return l
		}
	}
	t.Skip("this kernel queues more connections than it was asked for")
	return ""
}
