package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/router/http1"
)

// serve starts a server that answers with what it understood.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*http1.Server)) (addr string, s *http1.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if h == nil {
		h = func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "%s %s %s %q %v", r.Method, r.Host, r.RequestURI, body, r.Trailer)
		}
	}
	s = &http1.Server{Handler: h, Limits: http1.DefaultLimits, Log: slog.New(slog.DiscardHandler),
		HeadTimeout: 300 * time.Millisecond, IdleTimeout: time.Second, BodyTimeout: time.Second,
		Refuse: func(w http.ResponseWriter, _ *http.Request, e *http1.Error) {
			w.WriteHeader(e.Status)
			io.WriteString(w, e.Reason)
		}}
	for _, f := range change {
		f(s)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(c, (&http.Request{RemoteAddr: "192.0.2.1:1"}).WithContext(context.Background()))
		}
	}()
	return l.Addr().String(), s
}

func send(t *testing.T, addr, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, text)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// What two programs could read differently is refused, and whatever follows it
// on the connection is never a request.
func TestWhatCouldBeReadInTwoWaysIsRefused(t *testing.T) {
	addr, _ := serve(t, nil)
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"two lengths":                    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
		"one length twice":               {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
		"a list of lengths":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
		"a signed length":                {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400},
		"a negative length":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		"a hexadecimal length":           {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400},
		"an empty length":                {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc", 400},
		"an endless length":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 400},
		"length and chunks":              {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"chunks and length":              {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400},
		"two codings":                    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501},
		"a list of codings":              {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		"an unknown coding":              {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		"a coding with a vertical tab":   {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		"space before the colon":         {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		"chunks in HTTP/1.0":             {"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"a folded header":                {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
		"a folded first header":          {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
		"bare line feeds":                {"GET / HTTP/1.1\nHost: x\n\n", 400},
		"one bare line feed":             {"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
		"a bare line feed at the end":    {"GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
		"a bare carriage return":         {"GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n", 400},
		"NUL in a value":                 {"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400},
		"NUL in a name":                  {"GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", 400},
		"NUL in the target":              {"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a header without a name":        {"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400},
		"a header without a colon":       {"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400},
		"no host":                        {"GET / HTTP/1.1\r\n\r\n", 400},
		"two hosts":                      {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		"a host with a space":            {"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400},
		"a host with a path":             {"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400},
		"a port of letters":              {"GET / HTTP/1.1\r\nHost: x:evil\r\n\r\n", 400},
		"two ports":                      {"GET / HTTP/1.1\r\nHost: x:80:81\r\n\r\n", 400},
		"half an IPv6 address":           {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
		"an IPv6 address and more":       {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400},
		"a bracket in a host":            {"GET / HTTP/1.1\r\nHost: x]\r\n\r\n", 400},
		"a host with a user":             {"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"another scheme":                 {"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a target without a slash":       {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"an asterisk":                    {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a fragment":                     {"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"two spaces":                     {"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a space in the target":          {"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a tab for a space":              {"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"no version":                     {"GET /\r\nHost: x\r\n\r\n", 400},
		"HTTP/2 in clear":                {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		"HTTP/1.2":                       {"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
		"lower-case version":             {"GET / http/1.1\r\nHost: x\r\n\r\n", 400},
		"CONNECT":                        {"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 405},
		"an unknown expectation":         {"POST / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", 417},
		"a TLS hello":                    {"\x16\x03\x01\x02\x00\n\n", 400},
		"a request line of 9000 bytes":   {"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"a header of 9000 bytes":         {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 9000) + "\r\n\r\n", 431},
		"an endless request line":        {"GET /" + strings.Repeat("a", 70_000), 414},
		"an endless header":              {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 70_000), 431},
		"1001 headers":                   {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 1001) + "\r\n", 431},
		"80 KB of headers":               {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: "+strings.Repeat("b", 8000)+"\r\n", 10) + "\r\n", 431},
		"a chunk without size":           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 0},
		"a chunk's size with a sign":     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 0},
		"a chunk's size with a prefix":   {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 0},
		"a chunk's size with a space":    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 0},
		"an endless chunk's size":        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f", 300) + "\r\n", 0},
		"a huge chunk's size":            {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 0},
		"a chunk longer than it says":    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 0},
		"a chunk with a bare line feed":  {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 0},
		"a chunk's end with a line feed": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 0},
		"an extension with line feed":    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n", 0},
		"a trailer with a NUL":           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: \x00\r\n\r\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := send(t, addr, c.request+smuggled)
			if c.status > 0 && !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("answer %.200q", answer)
			}
			if c.status == 0 && strings.Contains(answer, "200 OK") {
				t.Errorf("accepted: %.200q", answer)
			}
			if strings.Contains(answer, "smuggled") {
				t.Errorf("smuggled: %q", answer)
			}
		})
	}
}

func TestWhatIsValidIsServed(t *testing.T) {
	addr, _ := serve(t, nil)
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n":                           `GET x / "" map[]`,
		"\r\nGET / HTTP/1.1\r\nHost: x\r\n":                       `GET x / "" map[]`,
		"GET /?a=%20'\"<> HTTP/1.1\r\nhost:\t x:80 \r\n":          `GET x:80 /?a=%20'"<> "" map[]`,
		"GET http://y:1/a HTTP/1.1\r\nHost: x\r\n":                `GET y:1 /a "" map[]`,
		"GET HTTPS://y?b HTTP/1.1\r\nHost: x\r\n":                 `GET y /?b "" map[]`,
		"GET http://[::1]:1 HTTP/1.1\r\nHost: x\r\n":              `GET [::1]:1 / "" map[]`,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n":                       `OPTIONS x * "" map[]`,
		"BREW /pot HTTP/1.1\r\nHost: x\r\n":                       `BREW x /pot "" map[]`,
		"GET / HTTP/1.0\r\n":                                      `GET  / "" map[]`,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n|abc": `POST x / "abc" map[]`,
		"POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: CHUNKED\r\n|3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n":               `POST x / "abcde" map[]`,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n|A\r\n0123456789\r\n0\r\nT: v\r\nHost: evil\r\n\r\n": `POST x / "0123456789" map[T:[v]]`,
	} {
		head, body, _ := strings.Cut(request, "|")
		answer := send(t, addr, head+"Connection: close\r\n\r\n"+body)
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, want) {
			t.Errorf("%q: %q", request, answer)
		}
	}
}

func TestRequestsMayBePipelined(t *testing.T) {
	addr, _ := serve(t, nil)
	answer := send(t, addr, "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nA"+
		"POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n"+
		"GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for _, want := range []string{`/1 "A"`, `/2 "B"`, `/3 ""`} {
		if !strings.Contains(answer, want) {
			t.Error(answer)
		}
	}
}

func TestASlowHeadIsCutOff(t *testing.T) {
	addr, _ := serve(t, nil)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for _, b := range []byte("GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	start := time.Now()
	c.SetDeadline(start.Add(5 * time.Second))
	answer, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || time.Since(start) > 3*time.Second {
		t.Errorf("%.100q after %v", answer, time.Since(start))
	}
}

func TestWhoSpeaksTLSIsToldAtOnce(t *testing.T) {
	addr, _ := serve(t, nil, func(s *http1.Server) { s.HeadTimeout = time.Minute })
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}}
	_, err := d.Dial("tcp", addr)
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || string(record.RecordHeader[:]) != "HTTP/" {
		t.Error(err)
	}
}

func TestABodyIsAskedForByContinue(t *testing.T) {
	addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	})
	c, _ := net.Dial("tcp", addr)
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, "POST /yes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	br := bufio.NewReader(c)
	if line, _ := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line)
	}
	br.ReadString('\n')
	fmt.Fprint(c, "abc")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	io.Copy(io.Discard, resp.Body)
	if answer := send(t, addr, "POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 403 ") || !strings.Contains(answer, "Connection: close") {
		t.Error(answer)
	}
}

func TestAKeptConnectionIsAskedForABodyAfterALongPause(t *testing.T) {
	addr, _ := serve(t, nil, func(s *http1.Server) { s.BodyTimeout, s.IdleTimeout = 200*time.Millisecond, 5*time.Second })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	br := bufio.NewReader(c)
	for range 2 {
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		if line, err := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatal(line, err)
		}
		br.ReadString('\n')
		fmt.Fprint(c, "abc")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		time.Sleep(400 * time.Millisecond) // longer than the answer's deadline
	}
}

func TestHTTP10ClientsAreServed(t *testing.T) {
	addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "2")
		}
		io.WriteString(w, "hi")
	})
	if a := send(t, addr, "GET / HTTP/1.0\r\n\r\n"); strings.Contains(a, "chunked") || !strings.HasSuffix(a, "\r\n\r\nhi") {
		t.Error(a)
	}
	a := send(t, addr, "GET /length HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /length HTTP/1.0\r\n\r\n")
	if strings.Count(a, "200 OK") != 2 || strings.Count(a, "Connection: keep-alive") != 1 {
		t.Error(a)
	}
}

func TestAnUnreadBodyDoesNotBecomeARequest(t *testing.T) {
	addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	inner := "GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
	a := send(t, addr, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%sGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", len(inner), inner))
	if strings.Count(a, "HTTP/1.1 204") != 2 {
		t.Error(a)
	}
}

func TestDrainingFinishesWhatIsServed(t *testing.T) {
	started, release := make(chan bool), make(chan bool)
	addr, s := serve(t, func(w http.ResponseWriter, r *http.Request) { started <- true; <-release; io.WriteString(w, "done") })
	answer := make(chan string)
	go func() { answer <- send(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
	idle, _ := net.Dial("tcp", addr)
	defer idle.Close()
	<-started
	drained := make(chan bool)
	go func() { s.Drain(context.Background()); close(drained) }()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if a := <-answer; !strings.Contains(a, "Connection: close") || !strings.Contains(a, "done") {
		t.Error(a)
	}
	<-drained
}

func TestDrainingServesWhoHasJustComeAndNotSpoken(t *testing.T) {
	addr, s := serve(t, nil, func(s *http1.Server) { s.HeadTimeout = 5 * time.Second })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(50 * time.Millisecond) // it is accepted
	drained := make(chan bool)
	go func() { s.Drain(context.Background()); close(drained) }()
	time.Sleep(1200 * time.Millisecond) // longer than what is idle has
	io.WriteString(c, "GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
	if a, err := io.ReadAll(c); !strings.Contains(string(a), "Connection: close") || !strings.Contains(string(a), "/late") {
		t.Errorf("%q, %v", a, err)
	}
	<-drained
}

// lastWords is a connection that gives its end together with what came last, as TLS does.
type lastWords struct {
	net.Conn
	pieces []string
}

func (c *lastWords) Read(p []byte) (n int, err error) {
	n = copy(p, c.pieces[0])
	if c.pieces[0] = c.pieces[0][n:]; c.pieces[0] == "" {
		c.pieces = c.pieces[1:]
	}
	if len(c.pieces) == 0 {
		c.pieces, err = []string{""}, io.EOF
	}
	return n, err
}

func TestABodyIsWholeThoughTheEndComesWithIt(t *testing.T) {
	for body, want := range map[string]string{"abc": `"abc"`, "ab": ""} {
		client, server := net.Pipe()
		s := &http1.Server{Limits: http1.DefaultLimits, Log: slog.New(slog.DiscardHandler), HeadTimeout: time.Second, IdleTimeout: time.Second, BodyTimeout: time.Second}
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "%q", body)
		})
		head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
		go s.ServeConn(&lastWords{server, []string{head, body}}, (&http.Request{}).WithContext(t.Context()))
		if answer, _ := io.ReadAll(client); !strings.Contains(string(answer), want) || want == "" && len(answer) > 0 {
			t.Errorf("%q: %q", body, answer)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST http://a:1/b?c HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		s := &http1.Server{Limits: http1.DefaultLimits, Log: slog.New(slog.DiscardHandler), HeadTimeout: time.Second, IdleTimeout: time.Second, BodyTimeout: time.Second}
		s.Refuse = func(w http.ResponseWriter, _ *http.Request, e *http1.Error) { w.WriteHeader(e.Status) }
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// What is accepted here, net/http reads in the same way.
			for name, values := range r.Header {
				for _, v := range values {
					if strings.ContainsAny(name+v, "\r\n\x00") {
						t.Errorf("%q: %q", name, v)
					}
				}
			}
			if r.ContentLength >= 0 && len(r.TransferEncoding) > 0 || strings.ContainsAny(r.RequestURI+r.Host, " \r\n\x00") {
				t.Errorf("%q %q %d", r.RequestURI, r.Host, r.ContentLength)
			}
			if n, err := io.Copy(io.Discard, r.Body); err == nil && r.ContentLength >= 0 && n != r.ContentLength {
				t.Error(n, r.ContentLength)
			}
		})
		go func() { client.Write(data); client.Close() }()
		go io.Copy(io.Discard, client)
		s.ServeConn(server, (&http.Request{}).WithContext(context.Background()))
	})
}
