package router_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/rendezvous"
	"github.com/hoist-sh/hoist/router"
	"github.com/hoist-sh/hoist/socket"
)

func TestAChangeIsRoutedWithin100Milliseconds(t *testing.T) {
	w := newWorld(t)
	say := func(text string) string {
		return serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, text) })
	}
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "old") })
	var slowest time.Duration
	for i := range 10 {
		text := fmt.Sprint("new ", i)
		addr := say(text)
		w.exec(`UPDATE dynos SET address = $2 WHERE app_id = $1`, app, addr)
		start := time.Now()
		w.ring(app)
		w.eventually(func() bool { _, body := w.get(host, "/"); return body == text })
		slowest = max(slowest, time.Since(start))
	}
	t.Log("slowest of 10:", slowest)
	if slowest > 100*time.Millisecond {
		t.Error("a change took", slowest)
	}
}

func TestALostBellCostsOneResync(t *testing.T) {
	w := newWorld(t)
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "old") })
	addr := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "new") })
	w.exec(`UPDATE dynos SET address = $2 WHERE app_id = $1`, app, addr) // and no bell
	start := time.Now()
	w.eventually(func() bool { _, body := w.get(host, "/"); return body == "new" })
	if took := time.Since(start); took > hoist.ResyncInterval+time.Second {
		t.Error(took)
	}
}

func TestHostsAreFound(t *testing.T) {
	w := newWorld(t)
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "app") })
	custom := "shop-" + app[:8] + ".example.com"
	w.exec(`INSERT INTO domains (id, app_id, hostname) VALUES ($1, $2, $3), ($4, $2, $5), ($6, $2, $7)`,
		hoist.NewID(), app, custom, hoist.NewID(), "*.wild-"+custom, hoist.NewID(), "git."+w.domain)
	w.ring(app)
	w.eventually(func() bool { return w.routed(custom) })
	for _, h := range []string{host, strings.ToUpper(host), host + ":8080", host + ".", host + ".:80", custom, strings.ToUpper(custom), "a.wild-" + custom} {
		if _, body := w.get(h, "/"); body != "app" {
			t.Errorf("%s: %s", h, body)
		}
	}
	for _, h := range []string{"x" + host, "x." + host, "a.b.wild-" + custom, "wild-" + custom} {
		if resp, _ := w.get(h, "/"); resp.StatusCode != 404 {
			t.Errorf("%s: %d", h, resp.StatusCode)
		}
	}
}

func TestPlatformHostsFindTheirComponents(t *testing.T) {
	w := newWorld(t)
	run := hoist.NewID()
	for _, typ := range []string{"api", "git", "logs", "blobs"} {
		addr := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, typ+run) })
		id := hoist.NewID()
		w.exec(`INSERT INTO components (id, type, address) VALUES ($1, $2, $3)`, id, typ, addr)
		t.Cleanup(func() { w.exec(`DELETE FROM components WHERE id = $1`, id) })
	}
	w.bus.Ring(hoist.BellComponent, nil)
	for host, want := range map[string]string{"api." + w.domain: "api", w.domain: "api", "git." + w.domain: "git", "logs." + w.domain: "logs", "blobs." + w.domain: "blobs"} {
		if resp, body := w.get(host, "/"); body != want+run {
			t.Errorf("%s: %d %s", host, resp.StatusCode, body)
		}
	}
	t.Run("a restart is not noticed", func(t *testing.T) {
		w.exec(`DELETE FROM components WHERE type = 'git'`)
		w.bus.Ring(hoist.BellComponent, nil)
		w.eventually(func() bool { return w.backends("git."+w.domain) == 0 })
		go func() {
			time.Sleep(500 * time.Millisecond)
			addr := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "again") })
			w.exec(`INSERT INTO components (id, type, address) VALUES ($1, 'git', $2)`, hoist.NewID(), addr)
			w.bus.Ring(hoist.BellComponent, nil)
		}()
		if _, body := w.get("git."+w.domain, "/"); body != "again" {
			t.Error(body)
		}
	})
	t.Run("rows that nobody could renew stay", func(t *testing.T) {
		w.exec(`UPDATE components SET seen_at = now() - interval '1 hour'`)
		w.bus.Ring(hoist.BellComponent, nil)
		time.Sleep(300 * time.Millisecond)
		if _, body := w.get("api."+w.domain, "/"); body != "api"+run {
			t.Error(body)
		}
		fresh := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "fresh") })
		w.exec(`INSERT INTO components (id, type, address) VALUES ($1, 'api', $2)`, hoist.NewID(), fresh)
		w.bus.Ring(hoist.BellComponent, nil)
		w.eventually(func() bool { _, body := w.get("api."+w.domain, "/"); return body == "fresh" })
		if n := w.backends("api." + w.domain); n != 1 {
			t.Error(n, "backends")
		}
	})
}

func TestRequestsWaitForAStartingDyno(t *testing.T) {
	w := newWorld(t)
	app := w.app("boot", 1)
	dyno := w.dyno(app, 1, hoist.DynoStarting, "")
	host := w.host(app)
	w.eventually(func() bool { return w.routed(host) })
	go func() {
		time.Sleep(300 * time.Millisecond)
		w.setState(app, dyno, hoist.DynoUp, serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "booted") }))
	}()
	if _, body := w.get(host, "/"); body != "booted" {
		t.Error(body)
	}
}

func TestADynoThatRefusesAtFirstHasItsTimeAfterALongBoot(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Settings.Connect = time.Second })
	app := w.app("boot", 1)
	dyno := w.dyno(app, 1, hoist.DynoStarting, "")
	host := w.host(app)
	w.eventually(func() bool { return w.routed(host) })
	addr := refusingAddr(t)
	srv := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "booted") })}
	t.Cleanup(func() { srv.Close() })
	go func() {
		time.Sleep(1200 * time.Millisecond) // longer than Connect
		w.setState(app, dyno, hoist.DynoUp, addr)
		time.Sleep(300 * time.Millisecond)
		srv.ListenAndServe()
	}()
	if _, body := w.get(host, "/"); body != "booted" {
		t.Error(body)
	}
}

// A deploy: new dynos come up beside the old, which leave the routes and are
// then shut down, while requests never stop.
func TestNoRequestFailsWhileDynosAreReplaced(t *testing.T) {
	w := newWorld(t)
	app := w.app("deploy", 2)
	type dyno struct {
		id  hoist.ID
		srv *http.Server
	}
	start := func(n int) dyno {
		l := listen(t)
		srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Millisecond)
			io.Copy(io.Discard, r.Body)
			io.WriteString(rw, "ok")
		})}
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		return dyno{w.dyno(app, n, hoist.DynoUp, l.Addr().String()), srv}
	}
	old := []dyno{start(1), start(2)}
	host := w.host(app)
	w.eventually(func() bool { return w.backends(host) == 2 })

	ctx, cancel := context.WithCancel(context.Background())
	var served, failed atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for ctx.Err() == nil {
				req, _ := http.NewRequest("POST", "http://"+w.http+"/", strings.NewReader("body"))
				req.Host = host
				req.Close = i%2 == 0
				resp, err := client.Do(req)
				if err != nil || resp.StatusCode != 200 {
					failed.Add(1)
					t.Error(resp, err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				served.Add(1)
			}
		})
	}
	for range 3 {
		w.exec(`UPDATE dynos SET want = 'down' WHERE app_id = $1`, app)
		next := []dyno{start(1), start(2)}
		time.Sleep(100 * time.Millisecond)
		for _, d := range old {
			w.setState(app, d.id, hoist.DynoStopping, "")
		}
		time.Sleep(300 * time.Millisecond) // the runtime gives 2 s
		for _, d := range old {
			d.srv.Shutdown(context.Background())
		}
		old = next
	}
	cancel()
	clients.Wait()
	t.Logf("%d requests served", served.Load())
	if failed.Load() > 0 || served.Load() < 100 {
		t.Errorf("%d failed, %d served", failed.Load(), served.Load())
	}
}

// ownPostgres is a database server of the test's own, which it may kill.
type ownPostgres struct {
	t      *testing.T
	server *postgres.Server
	stop   func()
}

func (o *ownPostgres) start() {
	o.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.server.Run(ctx) }()
	o.stop = func() { cancel(); <-done; o.stop = func() {} }
	ready, end := context.WithTimeout(context.Background(), 30*time.Second)
	defer end()
	if err := o.server.Ready(ready, map[string]string{"hoist_api": "test", "hoist_router": "test"}); err != nil {
		o.t.Fatal(err)
	}
}

func (o *ownPostgres) open(role string) *postgres.DB {
	db, err := postgres.Open(context.Background(), o.server.RoleURL("hoist_"+role, "test"))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(db.Close)
	return db
}

func TestRoutesOutliveTheDatabase(t *testing.T) {
	o := &ownPostgres{t: t, server: &postgres.Server{Dir: tempDir(t) + "/pg", Password: "test"}}
	if err := o.server.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.start()
	t.Cleanup(func() { o.stop() })
	w := newWorld(t) // the shared ground's, replaced:
	w.stop()
	w.db, w.store = o.open("api"), o.open("router")
	if err := w.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { o.start() }) // w.app cleans up
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "here") })
	api := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "api") })
	w.exec(`INSERT INTO components (id, type, address) VALUES ($1, 'api', $2)`, hoist.NewID(), api)
	w.bus.Ring(hoist.BellComponent, nil)
	served := func(when string) {
		t.Helper()
		for h, want := range map[string]string{host: "here", w.domain: "api"} {
			if resp, body := w.get(h, "/"); body != want {
				t.Errorf("%s: %s: %d %s", when, h, resp.StatusCode, body)
			}
		}
	}
	served("before")
	time.Sleep(1200 * time.Millisecond) // the snapshot is written

	o.stop()
	w.ring(app)
	time.Sleep(500 * time.Millisecond)
	served("with the database away")
	if resp, err := http.Get("http://" + w.status + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Error(resp, err)
	} else if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), `"waits_for":"database`) {
		t.Errorf("%s", b)
	}

	w.stop()
	w.start()
	served("after a restart with the database away")

	o.start()
	served("with the database back")
	w.exec(`UPDATE apps SET maintenance = true WHERE id = $1`, app)
	w.eventually(func() bool { resp, _ := w.get(host, "/"); return resp.StatusCode == 503 })
}

func TestASnapshotThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	var dir string
	w := newWorld(t, func(c *router.Config) {
		dir = c.Dir + "/routes"
		c.Dir = dir
		os.WriteFile(dir, nil, 0o600) // in its place
	})
	_, host := w.serve(func(http.ResponseWriter, *http.Request) {})
	time.Sleep(1500 * time.Millisecond) // it was tried
	os.Remove(dir)
	w.stop()
	if b, err := os.ReadFile(dir + "/routes.json"); !strings.Contains(string(b), strings.TrimSuffix(host, "."+w.domain)) {
		t.Error(string(b), err)
	}
}

func TestANewRouterWithoutRoutesWaits(t *testing.T) {
	away, err := postgres.Open(t.Context(), "postgres://nobody@"+refusingAddr(t)+"/none")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	w := newWorld(t, func(c *router.Config) { c.Store, c.Settings.Platform = away, 300*time.Millisecond })
	if resp, body := w.get("app."+w.domain, "/"); resp.StatusCode != 503 || !strings.Contains(body, "H99") {
		t.Error(resp, body)
	}
}

func TestRoutesOutliveTheBus(t *testing.T) {
	w := newWorld(t, func(c *router.Config) { c.Bus = silent{} })
	app, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "here") })
	w.exec(`UPDATE dynos SET state = 'crashed' WHERE app_id = $1`, app)
	w.eventually(func() bool { _, body := w.get(host, "/"); return strings.Contains(body, "H10") })
}

// silent is a bus that loses everything.
type silent struct{}

func (silent) Ring(string, []byte)                                        {}
func (silent) Listen(context.Context, string, func(string, []byte)) error { return nil }
func (silent) Append(string, []byte) bool                                 { return false }
func (silent) AppendAt(string, hoist.Place, []byte) bool                  { return false }
func (silent) Drop(string, int)                                           {}
func (silent) Flush(context.Context) error                                { return nil }
func (silent) Tail(context.Context, string, bool) (<-chan hoist.Message, error) {
	return nil, nil
}

func TestOnProbationOnlyThePrivateDoorsServe(t *testing.T) {
	proven := make(chan struct{})
	private := router.Doors{HTTP: listen(t), HTTPS: listen(t), Rendezvous: listen(t)}
	w := newWorld(t, func(c *router.Config) {
		c.HTTP, c.HTTPS, c.Rendezvous = socket.Gate(c.HTTP, proven), socket.Gate(c.HTTPS, proven), socket.Gate(c.Rendezvous, proven)
		c.Private = private
	})
	_, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "app") })
	public, tlsPublic := w.http, w.https
	w.http, w.https = private.HTTP.Addr().String(), private.HTTPS.Addr().String()
	if _, body := w.get(host, "/"); body != "app" {
		t.Error(body)
	}
	c, err := tls.Dial("tcp", w.https, &tls.Config{RootCAs: w.roots, ServerName: "localhost", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := rendezvous.DialTLS(t.Context(), private.Rendezvous.Addr().String(), "nobody", &tls.Config{InsecureSkipVerify: true}); err == nil || strings.Contains(err.Error(), "handshake") {
		t.Error(err)
	}
	silent := func(addr string) bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		return errors.Is(err, os.ErrDeadlineExceeded)
	}
	if !silent(public) || !silent(tlsPublic) {
		t.Error("a public socket is served on probation")
	}
	close(proven)
	if silent(public) {
		t.Error("the public socket is not served")
	}
}

func TestNobodyIsSentToAComponentOnProbation(t *testing.T) {
	w := newWorld(t)
	run := hoist.NewID()
	register := func(typ, text string, proven bool) hoist.ID {
		addr := serveHTTP(t, func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, text+run) })
		id := hoist.NewID()
		w.exec(`INSERT INTO components (id, type, address, proven) VALUES ($1, $2, $3, $4)`, id, typ, addr, proven)
		t.Cleanup(func() { w.exec(`DELETE FROM components WHERE id = $1`, id) })
		w.bus.Ring(hoist.BellComponent, nil)
		return id
	}
	register("api", "old", true)
	next := register("api", "new", false)
	// Even when the others have not been seen for a while.
	w.exec(`UPDATE components SET seen_at = now() - interval '1 minute' WHERE id <> $1`, next)
	register("proof", "proof", true)
	w.eventually(func() bool { return w.backends("api."+w.domain) == 1 && w.backends("proof."+w.domain) == 1 })
	if _, body := w.get("api."+w.domain, "/"); body != "old"+run {
		t.Error(body)
	}
	if _, body := w.get("proof."+w.domain, "/"); body != "proof"+run {
		t.Error(body)
	}
	w.exec(`UPDATE components SET proven = true WHERE id = $1`, next)
	w.bus.Ring(hoist.BellComponent, nil)
	w.eventually(func() bool { _, body := w.get("api."+w.domain, "/"); return body == "new"+run })
}
