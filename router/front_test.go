package router_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
	"github.com/hoist-sh/hoist/router"
)

// tempDir is a directory an unprivileged server may enter.
func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/tmp", "hoist-router")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o711)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// worker accepts attached clients as a runtime does and echoes in capitals.
func worker(t *testing.T, want string) string {
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if rendezvous.Accept(c, func(secret string) error {
					if secret != want {
						return hoist.ErrNotFound
					}
					return nil
				}) != nil {
					return
				}
				br := bufio.NewReader(c)
				for {
					line, err := br.ReadString('\n')
					if err != nil {
						io.WriteString(c, "bye\n")
						return
					}
					io.WriteString(c, strings.ToUpper(line))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestAnAttachedDynoIsReached(t *testing.T) {
	w := newWorld(t)
	app := w.app("run", 0)
	secret := hoist.NewSecret()
	hash := sha256.Sum256([]byte(secret))
	dyno, workerID := hoist.NewID(), hoist.NewID()
	w.exec(`INSERT INTO dynos (id, app_id, kind, type, number, size, command, attach, secret_hash) VALUES ($1, $2, 'run', 'run', 1, 'Basic', 'bash', true, $3)`, dyno, app, hash[:])
	// The worker is killed when it has the client, and comes back at another address.
	killed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO workers (id, address, memory) VALUES ($1, $2, 0)`, workerID, killed.Addr().String())
	t.Cleanup(func() { w.exec(`DELETE FROM workers WHERE id = $1`, workerID) })
	go func() {
		if c, err := killed.Accept(); err == nil {
			rendezvous.ReadSecret(c)
			c.Close()
			killed.Close()
			time.Sleep(500 * time.Millisecond)
			w.exec(`UPDATE workers SET address = $2 WHERE id = $1`, workerID, worker(t, secret))
		}
	}()
	placed := time.AfterFunc(400*time.Millisecond, func() {
		w.exec(`UPDATE dynos SET worker_id = $2 WHERE id = $1`, dyno, workerID)
		w.bus.Ring(hoist.BellDyno+app, nil)
	})
	defer placed.Stop()
	cfg := w.tls()
	cfg.ServerName, cfg.InsecureSkipVerify = "", true // no server name, as the Heroku CLI
	conn, err := rendezvous.DialTLS(t.Context(), w.rendezvous, secret, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(conn)
	fmt.Fprintln(conn, "hello")
	if line, err := br.ReadString('\n'); line != "HELLO\n" {
		t.Fatal(line, err)
	}
	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }() // a drain leaves it alone
	time.Sleep(100 * time.Millisecond)
	fmt.Fprintln(conn, "still")
	if line, err := br.ReadString('\n'); line != "STILL\n" {
		t.Fatal(line, err)
	}
	rendezvous.CloseWrite(conn)
	if rest, err := io.ReadAll(br); string(rest) != "bye\n" {
		t.Errorf("%q %v", rest, err)
	}
	<-stopped
}

func TestAWrongSecretIsClosedWithoutAWord(t *testing.T) {
	w := newWorld(t)
	for _, first := range []string{hoist.NewSecret() + "\r\n", "\r\n", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("a", 1000)} {
		c, err := tls.Dial("tcp", w.rendezvous, w.tls())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, first)
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%.30q: %q", first, b)
		}
		c.Close()
	}
}

func TestHTTP2RequestsCarryTheirOrigin(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Proto, " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Forwarded-Port"), " ", r.RequestURI)
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true}}
	req, _ := http.NewRequest("GET", "https://"+w.https+"/x?y=%2F", nil)
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, port, _ := net.SplitHostPort(w.https)
	if body, _ := io.ReadAll(resp.Body); resp.ProtoMajor != 2 || string(body) != "HTTP/1.1 https "+port+" /x?y=%2F" {
		t.Errorf("%s %s", resp.Proto, body)
	}
}

func TestEachPortTellsWhoSpeaksTheOther(t *testing.T) {
	w := newWorld(t)
	resp, err := http.Get("http://" + w.https + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls()}, Timeout: 5 * time.Second}
	if _, err := client.Get("https://" + w.http + "/"); err == nil || !strings.Contains(err.Error(), "gave HTTP response") {
		t.Error(err)
	}
}

func TestHTTP2FailuresHavePages(t *testing.T) {
	w := newWorld(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true}}
	req, _ := http.NewRequest("GET", "https://"+w.https+"/", nil)
	req.Host = "nobody." + w.domain
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 404 || !strings.Contains(string(body), "nothing here") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestStoppingFinishesWhatIsBeingServed(t *testing.T) {
	w := newWorld(t)
	begun := make(chan struct{}, 2)
	_, host := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		io.WriteString(rw, "finished")
	})
	h2 := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(), ForceAttemptHTTP2: true}}
	got := make(chan string, 2)
	for url, client := range map[string]*http.Client{"http://" + w.http: {Transport: &http.Transport{}}, "https://" + w.https: h2} {
		go func() {
			req, _ := http.NewRequest("GET", url, nil)
			req.Host = host
			resp, err := client.Do(req)
			if err != nil {
				got <- err.Error()
				return
			}
			b, _ := io.ReadAll(resp.Body)
			got <- string(b)
		}()
		<-begun
	}
	start := time.Now()
	w.stop()
	for range 2 {
		if s := <-got; s != "finished" {
			t.Error(s)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Error("stopping took", took)
	}
	if _, err := net.Dial("tcp", w.http); err == nil {
		t.Error("it still accepts")
	}
}

func TestACertificateFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	write := func() {
		cert, key, _ := selfSigned(t)
		os.WriteFile(dir+"/key", []byte(key), 0o600)
		os.WriteFile(dir+"/cert", []byte(cert), 0o600)
	}
	write()
	get, err := router.Certificate(dir+"/cert", dir+"/key", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := get(nil)
	router.LookAgain(t, 0)
	write()
	second, _ := get(nil)
	os.WriteFile(dir+"/cert", []byte("half writ"), 0o600)
	third, _ := get(nil)
	if string(first.Certificate[0]) == string(second.Certificate[0]) || third != second {
		t.Error("the new certificate is not used, or a broken one is")
	}
	if _, err := router.Certificate("/none", "/none", slog.Default()); err == nil || !strings.Contains(err.Error(), "HOIST_TLS_CERT") {
		t.Error(err)
	}
}

func TestSlowClientsHoldNobodyUp(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Head = 500 * time.Millisecond })
	_, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "ok") })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	closed := make(chan struct{}, 200)
	for range 200 {
		c, err := net.Dial("tcp", w.http)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			io.WriteString(c, "GET / HTTP/1.1\r\n")
			for ctx.Err() == nil {
				if _, err := io.WriteString(c, "A: b\r\n"); err != nil {
					closed <- struct{}{}
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	if _, body := w.get(host, "/"); body != "ok" {
		t.Error(body)
	}
	for range 200 {
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
			t.Fatal("a slow client is still connected")
		}
	}
}

func TestWhoIsStillGreetingWhenTheRouterStopsIsServed(t *testing.T) {
	w := newWorld(t)
	_, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "served") })
	raw, err := net.Dial("tcp", w.https)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	time.Sleep(100 * time.Millisecond) // it is accepted, and has said nothing
	go w.stop()
	time.Sleep(200 * time.Millisecond)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.tls(),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return raw, nil }}}
	req, _ := http.NewRequest("GET", "https://"+w.https, nil)
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "served" {
		t.Errorf("%s", b)
	}
}
