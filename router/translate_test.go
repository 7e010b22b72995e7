package router

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/router/http1"
)

// What is let through from HTTP/2 is read as the same request again from the lines we write.
func FuzzTranslate(f *testing.F) {
	f.Add("GET", "/a?b", "example.com:80", "X-A", "b", "example.com:80", int64(0))
	f.Add("GET /admin HTTP/1.1", "/", "[::1]", "Content-Length", "3", "", int64(3))
	f.Add("OPTIONS", "*", "a", "X_Forwarded_For", " a\r\nB: c", "b", int64(-1))
	f.Fuzz(func(t *testing.T, method, target, host, name, value, otherHost string, length int64) {
		r := &http.Request{Method: method, RequestURI: target, Host: host, ContentLength: max(length, -1),
			Header: http.Header{http.CanonicalHeaderKey(name): {value}}}
		if otherHost != "" {
			r.Header["Host"] = []string{otherHost}
		}
		if http1.Translate(r, http1.DefaultLimits) != nil {
			return
		}
		var text bytes.Buffer
		w := bufio.NewWriter(&text)
		stripHopByHop(r.Header)
		writeHead(w, r, &forwarded{client: "192.0.2.1", proto: "https", port: "443", requestID: "x"}, "")
		w.Flush()
		lines := strings.Count(text.String(), "\r\n")
		got, err := http.ReadRequest(bufio.NewReader(&text))
		if err != nil {
			// net/url refuses more targets than the two differ about.
			if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid URI") {
				return
			}
			t.Fatalf("%v: %q", err, text.String())
		}
		if got.Method != method || got.RequestURI != target || got.Host != host || got.ContentLength != r.ContentLength {
			t.Errorf("%q %q %q %d became %q %q %q %d", method, target, host, r.ContentLength, got.Method, got.RequestURI, got.Host, got.ContentLength)
		}
		if got.Header.Get("X-Forwarded-For") != "192.0.2.1" || len(got.Header["X-Forwarded-For"]) != 1 {
			t.Errorf("%q", got.Header)
		}
		if most := 11; lines > most {
			t.Errorf("%d lines, not %d at most", lines, most)
		}
	})
}

func TestNobodyPassesForUs(t *testing.T) {
	r, err := http.NewRequest("POST", "http://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X_Forwarded_For", "X-Forwarded_Proto", "Transfer_Encoding", "Content_Length", "x_request-id", "Host", "Via"} {
		r.Header[name] = []string{"spoofed"}
	}
	r.Header["X_Mine"] = []string{"kept"}
	r.RequestURI = "/"
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	writeHead(w, r, &forwarded{client: "192.0.2.1"}, "")
	w.Flush()
	if s := text.String(); strings.Count(s, "spoofed") != 1 || !strings.Contains(s, "Via: spoofed, 1.1 hoist\r\n") || !strings.Contains(s, "X_Mine: kept\r\n") {
		t.Error(s)
	}
}
