package router_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/router"
	"golang.org/x/net/http2"
)

func TestARequestReachesItsApp(t *testing.T) {
	w := newWorld(t)
	var got *http.Request
	app, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		got = r.Clone(t.Context())
		fmt.Fprint(rw, "hello")
	})
	req, _ := http.NewRequest("GET", "http://"+w.http+"/a%2Fb?c=d", nil)
	req.Host = host
	req.Header.Set("X-Forwarded-For", "192.0.2.7")
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("Connection", "X-Secret")
	req.Header.Set("X-Secret", "for the next hop only")
	resp, body := w.do(req)
	if resp.StatusCode != 200 || body != "hello" || resp.Header.Get("Via") != "1.1 hoist" {
		t.Fatal(resp, body)
	}
	if got.RequestURI != "/a%2Fb?c=d" || got.Host != host {
		t.Error(got.RequestURI, got.Host)
	}
	for name, want := range map[string]string{"X-Forwarded-For": `^192\.0\.2\.7, 127\.0\.0\.1$`, "X-Forwarded-Proto": "^http$",
		"X-Forwarded-Port": `^\d+$`, "X-Request-Start": `^\d{13}$`, "X-Request-Id": `^[0-9a-f-]{36}$`, "Via": `^1\.1 hoist$`,
		"X-Secret": "^$", "Connection": "^$"} {
		if v := got.Header.Get(name); !regexp.MustCompile(want).MatchString(v) {
			t.Errorf("%s: %q", name, v)
		}
	}
	line := w.logLine(app, "at=info")
	form := regexp.MustCompile(`^at=info method=GET path="/a%2Fb\?c=d" host=\S+ request_id=[0-9a-f-]{36} fwd="192\.0\.2\.7, 127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=5 protocol=http$`)
	if !form.MatchString(line.Text) {
		t.Error(line.Text)
	}
	if d := cmp.Diff([]string{"heroku", "router"}, []string{line.Source, line.Dyno}); d != "" {
		t.Error(d)
	}
}

func TestEachFailureHasItsCode(t *testing.T) {
	w := newWorld(t, func(c *router.Config) {
		c.Settings.Connect, c.Settings.FirstByte = 200*time.Millisecond, 300*time.Millisecond
		c.Settings.Boot, c.Settings.Platform = 300*time.Millisecond, 300*time.Millisecond
	})
	broken := func(answer string) func() hoist.ID {
		return func() hoist.ID {
			app, _ := w.raw(func(c net.Conn) {
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, answer)
			})
			return app
		}
	}
	withDyno := func(web int, state hoist.DynoState, addr string) func() hoist.ID {
		return func() hoist.ID {
			app := w.app("app", web)
			if state != "" {
				w.dyno(app, 1, state, addr)
			}
			return app
		}
	}
	for _, c := range []struct {
		name, code string
		status     int
		app        func() hoist.ID
	}{
		{"crashed", "H10", 503, withDyno(1, hoist.DynoCrashed, "")},
		{"slow", "H12", 503, func() hoist.ID {
			app, _ := w.raw(func(c net.Conn) { io.Copy(io.Discard, c) })
			return app
		}},
		{"closes", "H13", 503, broken("")},
		{"closes within the head", "H13", 503, broken("HTTP/1.1 200 OK\r\nA: ")},
		{"scaled to zero", "H14", 503, withDyno(0, "", "")},
		{"no HTTP", "H17", 503, broken("SSH-2.0-OpenSSH\r\n\r\n")},
		{"an endless head", "H17", 503, broken("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: "+strings.Repeat("a", 1000)+"\r\n", 700))},
		{"a header with a space in its name", "H17", 503, broken("HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n")},
		{"a header with a NUL", "H17", 503, broken("HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 0\r\n\r\n")},
		{"starting", "H20", 503, withDyno(1, hoist.DynoStarting, "")},
		{"wanted", "H20", 503, withDyno(1, "", "")},
		{"refuses", "H21", 503, withDyno(1, hoist.DynoUp, refusingAddr(t))},
		{"maintenance", "H80", 503, func() hoist.ID {
			app, _ := w.serve(func(http.ResponseWriter, *http.Request) { t.Error("reached") })
			w.exec(`UPDATE apps SET maintenance = true WHERE id = $1`, app)
			w.ring(app)
			time.Sleep(200 * time.Millisecond)
			return app
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := c.app()
			host := w.host(app)
			w.eventually(func() bool { return w.routed(host) })
			req, _ := http.NewRequest("GET", "http://"+w.http+"/", nil)
			req.Host = host
			req.Header.Set("Accept", "text/html,*/*;q=0.8")
			resp, body := w.do(req)
			if resp.StatusCode != c.status || !strings.Contains(body, c.code) || !strings.HasPrefix(body, "<!DOCTYPE html>") || !strings.Contains(body, "</h1>") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			level := "at=error"
			if c.code == "H80" {
				level = "at=info"
			}
			w.logLine(app, level+" code="+c.code+" desc=\"", fmt.Sprintf(" status=%d ", c.status))
		})
	}
	t.Run("does not accept", func(t *testing.T) {
		app := withDyno(1, hoist.DynoUp, fullAddr(t))()
		host := w.host(app)
		w.eventually(func() bool { return w.routed(host) })
		for range 5 { // the error of a connection that timed out is not always the same
			if resp, body := w.get(host, "/"); resp.StatusCode != 503 || !strings.Contains(body, "H19") {
				t.Error(resp.StatusCode, body)
			}
		}
		w.logLine(app, "at=error code=H19 desc=\"", " status=503 ")
	})
	t.Run("no such app", func(t *testing.T) {
		for _, host := range []string{"nobody." + w.domain, "example.com", w.domain + ".evil.test", ""} {
			answer := w.send("GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 404 ") || !strings.Contains(answer, "There's nothing here, yet.") {
				t.Errorf("%q: %s", host, answer)
			}
		}
	})
	t.Run("no HTTP request", func(t *testing.T) {
		if answer := w.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "more than one Host") {
			t.Error(answer)
		}
	})
	t.Run("platform away", func(t *testing.T) {
		resp, body := w.get("git."+w.domain, "/")
		if resp.StatusCode != 503 || !strings.Contains(body, "H99") {
			t.Error(resp, body)
		}
	})
	t.Run("as JSON", func(t *testing.T) {
		req, _ := http.NewRequest("GET", "http://"+w.http+"/", nil)
		req.Host = "nobody." + w.domain
		req.Header.Set("Accept", "application/vnd.heroku+json; version=3")
		resp, body := w.do(req)
		var e struct{ ID, Message string }
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.ID == "" || !strings.HasPrefix(e.Message, "There's nothing") || resp.Header.Get("Content-Type") != "application/json" {
			t.Error(err, body)
		}
	})
}

func TestAnAnswerThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Idle = 300 * time.Millisecond })
	for _, c := range []struct {
		name, code, head string
		hang             bool
	}{
		{"length", "H18", "Content-Length: 100", false},
		{"chunks", "H18", "Transfer-Encoding: chunked", false},
		{"idle", "H15", "Content-Length: 100", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, host := w.raw(func(conn net.Conn) {
				http.ReadRequest(bufio.NewReader(conn))
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n3\r\nabc\r\n", c.head)
				if c.hang {
					time.Sleep(2 * time.Second)
				}
			})
			req, _ := http.NewRequest("GET", "http://"+w.http+"/", nil)
			req.Host = host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Error("the client was told it is whole")
			}
			w.logLine(app, "at=error code="+c.code, " status=503 ")
		})
	}
}

func TestAClientThatGoesAwayIsNoticed(t *testing.T) {
	w := newWorld(t)
	gone := make(chan struct{})
	app, host := w.raw(func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.Copy(io.Discard, c) // ends when the router closes
		close(gone)
	})
	c, err := net.Dial("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	time.Sleep(50 * time.Millisecond)
	c.Close()
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Fatal("the dyno still works for nobody")
	}
	w.logLine(app, "code=H27", "status=499")
}

func TestBytesStreamBothWays(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		rw.Header().Set("Trailer", "X-Sum")
		rw.WriteHeader(200)
		rw.(http.Flusher).Flush()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				break
			}
			fmt.Fprint(rw, strings.ToUpper(line))
			rw.(http.Flusher).Flush()
		}
		rw.Header().Set("X-Sum", "1"+r.Trailer.Get("X-In"))
	})
	h2 := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true}}
	for name, c := range map[string]struct {
		client *http.Client
		url    string
	}{"HTTP/1.1": {http.DefaultClient, "http://" + w.http}, "HTTP/2.0": {h2, "https://" + w.https}} {
		t.Run(name, func(t *testing.T) {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", c.url+"/", pr)
			req.Host, req.Trailer = host, http.Header{"X-In": {"2"}}
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.Proto != name {
				t.Error(resp.Proto)
			}
			br := bufio.NewReader(resp.Body)
			for _, word := range []string{"one", "two", "three"} {
				fmt.Fprintln(pw, word)
				if line, err := br.ReadString('\n'); line != strings.ToUpper(word)+"\n" {
					t.Fatal(line, err)
				}
			}
			pw.Close()
			if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
				t.Error(rest, err)
			}
			if resp.Trailer.Get("X-Sum") != "12" {
				t.Error(resp.Trailer)
			}
		})
	}
}

func TestLargeBodiesGoThroughUnchanged(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).EnableFullDuplex()
		io.Copy(rw, r.Body)
	})
	body := make([]byte, 20<<20)
	rand.Read(body)
	h2 := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true}}
	for url, client := range map[string]*http.Client{"http://" + w.http: http.DefaultClient, "https://" + w.https: h2} {
		for _, length := range []int64{-1, int64(len(body))} {
			req, _ := http.NewRequest("PUT", url+"/", bytes.NewReader(body))
			req.Host, req.ContentLength = host, length
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s, length %d: %d bytes, %v", url, length, len(got), err)
			}
		}
	}
}

func TestAnEarlyAnswerToALongBodyArrives(t *testing.T) {
	w := newWorld(t)
	_, host := w.raw(func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	c, err := net.Dial("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000000\r\n\r\nabc", host)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Fatal(resp, err)
	}
}

func TestExpectReachesTheDyno(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(rw, r.Body) // sends 100 Continue
	})
	for path, status := range map[string]int{"/yes": 200, "/no": 403} {
		req, _ := http.NewRequest("POST", "http://"+w.http+path, strings.NewReader("body"))
		req.Host = host
		req.Header.Set("Expect", "100-continue")
		client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 5 * time.Second}}
		start := time.Now()
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode != status || time.Since(start) > 900*time.Millisecond {
			t.Fatal(path, resp, err, time.Since(start))
		}
		if b, _ := io.ReadAll(resp.Body); status == 200 && string(b) != "body" {
			t.Errorf("%q", b)
		}
		resp.Body.Close()
	}
	// Who expects it may send the body all the same.
	start := time.Now()
	answer := w.send("POST /yes HTTP/1.1\r\nHost: " + host + "\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || time.Since(start) > 900*time.Millisecond {
		t.Error(answer, time.Since(start))
	}
}

func TestEarlyHintsArrive(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</a.css>")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		io.WriteString(rw, "ok")
	})
	answer := w.send("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>") && !strings.Contains(answer[:100], "Link: </a.css>") || !strings.Contains(answer, "HTTP/1.1 200 OK") {
		t.Error(answer)
	}
}

func TestAnAppMayReportItsProgressForLong(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.FirstByte = 2 * time.Second })
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		for range 30 {
			rw.WriteHeader(http.StatusProcessing)
			time.Sleep(100 * time.Millisecond)
		}
		io.WriteString(rw, "done")
	})
	answer := w.send("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	if strings.Count(answer, "HTTP/1.1 102 Processing") != 30 || !strings.HasSuffix(answer, "done") {
		t.Error(answer)
	}
}

// A protocol is not switched to while a body is on its way, nor by HTTP/1.0, which has no upgrades, nor is HTTP/2.
func TestOnlyRequestsWithoutABodyAreUpgraded(t *testing.T) {
	w := newWorld(t)
	asked := make(chan string, 1)
	_, host := w.raw(func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			t.Error(err)
			return
		}
		asked <- r.Header.Get("Upgrade") + r.Header.Get("HTTP2-Settings")
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw")
	})
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\n": "x",
		"GET / HTTP/1.0\r\n": "",
		"GET / HTTP/1.1\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABk\r\n": "",
		"POST / HTTP/1.1\r\nContent-Length: 5\r\n":                       "",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n":              "",
	} {
		answer := w.send(request + "Host: " + host + "\r\nConnection: Upgrade, close\r\nUpgrade: x\r\n\r\n0\r\n\r\n")
		if got := <-asked; got != want || strings.HasSuffix(answer, "raw") != (want != "") {
			t.Errorf("%q: the app was asked for %q, the client got %q", request, got, answer)
		}
	}
}

func TestTrailersSayNothingOfTheClient(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, r.Trailer)
	})
	answer := w.send("POST / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"0\r\nX-Sum: 1\r\nX-Forwarded-For: 1.2.3.4\r\nx_request_id: 1\r\n\r\n")
	if !strings.Contains(answer, "map[X-Sum:[1]]") {
		t.Error(answer)
	}
}

func TestAnAnswerWithoutBodyHasNoLength(t *testing.T) {
	w := newWorld(t)
	_, host := w.raw(func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")
	})
	if answer := w.send("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 204 ") || strings.Contains(answer, "Content-Length") || strings.Contains(answer, "hello") {
		t.Error(answer)
	}
}

func TestMethodsAndStatusesWithoutBody(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/304":
			rw.Header().Set("Etag", `"x"`)
			rw.WriteHeader(304)
		case "/204":
			rw.WriteHeader(204)
		default:
			rw.Header().Set("Content-Length", "5")
			io.WriteString(rw, "hello")
		}
	})
	c, err := net.Dial("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(c)
	for _, q := range []struct {
		method, path string
		status       int
		body         string
	}{{"HEAD", "/", 200, ""}, {"GET", "/304", 304, ""}, {"GET", "/204", 204, ""}, {"GET", "/", 200, "hello"}, {"DELETE", "/204", 204, ""}} {
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", q.method, q.path, host)
		resp, err := http.ReadResponse(br, &http.Request{Method: q.method})
		if err != nil {
			t.Fatal(q, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != q.status || string(body) != q.body {
			t.Error(q, resp, string(body), err)
		}
	}
}

func TestWebSocketsGoThrough(t *testing.T) {
	w := newWorld(t)
	app, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), kind, bytes.ToUpper(data))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, url := range []string{"ws://" + w.http, "wss://" + w.https} {
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Host: host,
			HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls()}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"hello", strings.Repeat("x", 30_000)} {
			c.Write(ctx, websocket.MessageText, []byte(text))
			if _, data, err := c.Read(ctx); string(data) != strings.ToUpper(text) {
				t.Fatal(err)
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
	}
	w.logLine(app, "status=101")
}

func TestARequestIsRetriedOnlyWhereNothingWasSent(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	app, host := w.raw(func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil && r.Method == "POST" {
			n.Add(1)
		}
	})
	w.dyno(app, 2, hoist.DynoUp, refusingAddr(t))
	w.eventually(func() bool { return w.backends(host) == 2 })
	for range 20 {
		req, _ := http.NewRequest("POST", "http://"+w.http+"/", strings.NewReader("x"))
		req.Host = host
		if resp, body := w.do(req); !strings.Contains(body, "H13") {
			t.Error(resp, body)
		}
	}
	if n.Load() != 20 {
		t.Errorf("the dyno got %d requests for 20", n.Load())
	}
}

func TestAPartOfThePlatformMayBeSilentForLong(t *testing.T) {
	w := newWorld(t, func(c *router.Config) {
		c.Settings.Idle, c.Settings.FirstByte, c.Settings.Service = 200*time.Millisecond, 200*time.Millisecond, 5*time.Second
	})
	const few = 100_000
	pause, large := 1500*time.Millisecond, make([]byte, 16<<20)
	addr := serveHTTP(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case "POST":
			io.Copy(rw, r.Body)
			return
		case "PUT":
			rw.Write(large)
			return
		case "PATCH":
			rw.Write(large[:few])
			return
		}
		time.Sleep(pause)
		io.WriteString(rw, "one ")
		rw.(http.Flusher).Flush()
		time.Sleep(pause)
		io.WriteString(rw, "two")
	})
	id := hoist.NewID()
	w.exec(`INSERT INTO components (id, type, address) VALUES ($1, 'logs', $2)`, id, addr)
	t.Cleanup(func() { w.exec(`DELETE FROM components WHERE id = $1`, id) })
	w.bus.Ring(hoist.BellComponent, nil)
	w.eventually(func() bool { return w.backends("logs."+w.domain) == 1 })
	if resp, body := w.get("logs."+w.domain, "/"); body != "one two" {
		t.Error(resp.StatusCode, body)
	}
	c, err := net.Dial("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Run("and its client in the body", func(t *testing.T) {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: logs.%s\r\nContent-Length: 6\r\n\r\none", w.domain)
		time.Sleep(pause)
		io.WriteString(c, "two")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "onetwo" || err != nil {
			t.Errorf("%q %v", b, err)
		}
	})
	t.Run("and its client in the answer", func(t *testing.T) {
		fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: logs.%s\r\n\r\n", w.domain)
		time.Sleep(pause)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(large)) || err != nil {
			t.Error(n, err)
		}
	})
	t.Run("but not that of an app afterwards", func(t *testing.T) {
		_, host := w.raw(func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
			for err := error(nil); err == nil; {
				_, err = c.Write(large)
			}
		})
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		time.Sleep(pause)
		if n, err := io.Copy(io.Discard, c); n > 50_000_000 {
			t.Error(n, err)
		}
	})
	t.Run("and its client in the answer in HTTP/2", func(t *testing.T) {
		f := w.frames(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		f.headers(true, ":method", "PATCH", ":scheme", "https", ":authority", "logs."+w.domain, ":path", "/")
		time.Sleep(pause)
		f.WriteWindowUpdate(0, 1<<25)
		f.WriteWindowUpdate(1, 1<<25)
		if status, body := f.answer(); status != "200" || len(body) != few {
			t.Error(status, len(body))
		}
	})
}
