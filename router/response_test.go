package router

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Whatever an app answers, the client gets HTTP or a page.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 3, 3\r\n\r\n", "SSH-2.0-x\r\n\r\n", "",
		"HTTP/1.1 011 No Such Status\r\n\r\n",
	} {
		f.Add("GET", []byte(s))
	}
	f.Fuzz(func(t *testing.T, method string, text []byte) {
		switch method {
		case "GET", "HEAD", "DELETE":
		default:
			t.Skip()
		}
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			defer theirs.Close()
			theirs.Read(make([]byte, 4096))
			theirs.SetWriteDeadline(time.Now().Add(5 * time.Second))
			theirs.Write(text)
		}()
		l := newLink(&backend{}, ours)
		gone := func() bool { return false }
		l.begin(time.Now(), 5*time.Second, gone)
		w := httptest.NewRecorder()
		v := &visit{p: &proxy{settings: DefaultSettings()}, w: w, r: httptest.NewRequest(method, "/", nil), gone: gone, dest: &destination{}}
		fail := v.exchange(l)
		if fail != nil && fail.code == "" {
			t.Errorf("%+v", fail)
		}
		if fail == nil && (v.status < 200 || v.status > 999) {
			t.Errorf("status %d", v.status)
		}
		for name, values := range w.Result().Header {
			name = strings.TrimPrefix(name, http.TrailerPrefix)
			for _, value := range values {
				if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
					t.Errorf("%q: %q", name, value)
				}
			}
		}
	})
}
