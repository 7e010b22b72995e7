package router_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/hoist-sh/hoist/router"
)

// ground is the real Postgres and NATS that the tests share; each test has
// apps and routers of its own.
var ground struct {
	once  sync.Once
	db    *postgres.DB // as api
	roles *postgrestest.Roles
	bus   *natstest.Server
	tb    *mainTB
}

// mainTB lets what belongs to a test belong to the whole run.
type mainTB struct {
	testing.TB
	cleanups []func()
}

func (m *mainTB) Helper()           {}
func (m *mainTB) Cleanup(f func())  { m.cleanups = append(m.cleanups, f) }
func (m *mainTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (m *mainTB) TempDir() string {
	dir, err := os.MkdirTemp("", "hoist-router")
	if err != nil {
		panic(err)
	}
	m.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
func (m *mainTB) Output() io.Writer { return io.Discard }

func TestMain(m *testing.M) {
	if part := os.Getenv(benchChild); part != "" {
		runBenchChild(part, os.Args[1])
	}
	code := m.Run()
	if ground.tb != nil {
		for i := len(ground.tb.cleanups) - 1; i >= 0; i-- {
			ground.tb.cleanups[i]()
		}
	}
	os.Exit(code)
}

// world is a router among real neighbours.
type world struct {
	t      testing.TB
	db     *postgres.DB
	bus    *nats.Bus
	store  router.Store
	dir    string
	domain string

	http, https, rendezvous string // addresses
	status                  string
	stop                    func() // ends the router and waits for it
	roots                   *x509.CertPool
}

// newWorld starts a router on the shared ground. change may change its configuration.
func newWorld(t testing.TB, change ...func(*router.Config)) *world {
	t.Helper()
	ground.once.Do(func() {
		ground.tb = &mainTB{}
		ground.db, ground.roles = postgrestest.New(ground.tb)
		ground.bus = natstest.New(ground.tb)
		bus := ground.bus.Bus("seed")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := bus.EnsureStreams(ctx); err != nil {
			panic(err)
		}
	})
	w := &world{t: t, db: ground.db, bus: ground.bus.Bus("api"), store: ground.roles.Open("router"),
		dir: t.TempDir(), domain: "apps-" + hoist.NewID()[:8] + ".test"}
	w.start(change...)
	return w
}

func listen(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) start(change ...func(*router.Config)) {
	w.t.Helper()
	cert, key, roots := selfSigned(w.t)
	w.roots = roots
	get, err := router.Certificate(cert, key, slog.Default())
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := router.Config{Public: hoist.Public{Domain: w.domain}, Store: w.store, Bus: ground.bus.Bus("router"),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Dir: w.dir, Settings: router.DefaultSettings(),
		HTTP: listen(w.t), HTTPS: listen(w.t), Rendezvous: listen(w.t), Status: listen(w.t), GetCertificate: get}
	if testing.Verbose() {
		cfg.Log = natstest.Log(w.t)
	}
	cfg.Settings.Drain, cfg.Settings.Idle = 5*time.Second, 5*time.Second
	for _, f := range change {
		f(&cfg)
	}
	w.http, w.https = cfg.HTTP.Addr().String(), cfg.HTTPS.Addr().String()
	w.rendezvous, w.status = cfg.Rendezvous.Addr().String(), cfg.Status.Addr().String()
	r, err := router.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.t.Error("router:", err)
			}
		})
	}
	w.t.Cleanup(w.stop)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Pool.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// app makes an app with a formation of web dynos.
func (w *world) app(name string, web int) hoist.ID {
	w.t.Helper()
	id, owner := hoist.NewID(), hoist.NewID()
	name += "-" + id[:6]
	w.exec(`INSERT INTO accounts (id, email) VALUES ($1, $2)`, owner, owner+"@example.com")
	w.exec(`INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, $2, $3, 'host', 'local')`, id, name, owner)
	w.exec(`INSERT INTO formation (id, app_id, type, command, quantity, size) VALUES ($1, $2, 'web', 'serve', $3, 'Basic')`, hoist.NewID(), id, web)
	w.t.Cleanup(func() { w.exec(`DELETE FROM apps WHERE id = $1`, id) })
	w.ring(id)
	return id
}

func (w *world) ring(app hoist.ID) { w.bus.Ring(hoist.BellRoute+app, nil) }

// host is the app's host name.
func (w *world) host(app hoist.ID) string {
	w.t.Helper()
	var name string
	if err := w.db.Pool.QueryRow(context.Background(), `SELECT name FROM apps WHERE id = $1`, app).Scan(&name); err != nil {
		w.t.Fatal(err)
	}
	return name + "." + w.domain
}

// dyno makes a web dyno's row.
func (w *world) dyno(app hoist.ID, number int, state hoist.DynoState, addr string) hoist.ID {
	w.t.Helper()
	id := hoist.NewID()
	w.exec(`INSERT INTO dynos (id, app_id, kind, type, number, size, command, state, address) VALUES ($1, $2, 'formation', 'web', $3, 'Basic', 'serve', $4, $5)`,
		id, app, number, state, addr)
	w.ring(app)
	return id
}

func (w *world) setState(app, dyno hoist.ID, state hoist.DynoState, addr string) {
	w.t.Helper()
	w.exec(`UPDATE dynos SET state = $2, address = $3 WHERE id = $1`, dyno, state, addr)
	w.ring(app)
}

// serve starts an app with one dyno that serves h, waits until it is routed
// and returns its host.
func (w *world) serve(h http.HandlerFunc) (app hoist.ID, host string) {
	w.t.Helper()
	app = w.app("app", 1)
	w.dyno(app, 1, hoist.DynoUp, serveHTTP(w.t, h))
	host = w.host(app)
	w.eventually(func() bool { return w.backends(host) > 0 })
	return app, host
}

// raw starts an app whose one dyno does what f says with each connection.
func (w *world) raw(f func(net.Conn)) (app hoist.ID, host string) {
	w.t.Helper()
	l := listen(w.t)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	app = w.app("raw", 1)
	w.dyno(app, 1, hoist.DynoUp, l.Addr().String())
	host = w.host(app)
	w.eventually(func() bool { return w.backends(host) > 0 })
	return app, host
}

func serveHTTP(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	s.Config.ErrorLog = nil
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.Listener.Addr().String()
}

// routed reports whether the router knows the host, by its status.
func (w *world) routed(host string) bool {
	resp, err := http.Get("http://" + w.status + "/hosts/" + host)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatal("it did not happen")
}

// get requests a path of a host.
func (w *world) get(host, path string) (*http.Response, string) {
	w.t.Helper()
	req, _ := http.NewRequest("GET", "http://"+w.http+path, nil)
	req.Host = host
	return w.do(req)
}

func (w *world) do(req *http.Request) (*http.Response, string) {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(body)
}

// send writes raw bytes to the router and returns all it answers.
func (w *world) send(text string) string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.http)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, text)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// logLine waits for a line of the app's log that holds all of the texts.
func (w *world) logLine(app hoist.ID, texts ...string) hoist.LogLine {
	w.t.Helper()
	bus := ground.bus.Bus("logs")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	lines, err := bus.Tail(ctx, hoist.StreamLogs+app, true)
	if err != nil {
		w.t.Fatal(err)
	}
	var seen []string
	for m := range lines {
		var l hoist.LogLine
		if err := json.Unmarshal(m.Data, &l); err != nil {
			w.t.Fatal(err)
		}
		seen = append(seen, l.Text)
		found := true
		for _, text := range texts {
			found = found && strings.Contains(l.Text, text)
		}
		if found {
			return l
		}
	}
	w.t.Fatalf("no line with %q in the log, but:\n%s", texts, strings.Join(seen, "\n"))
	return hoist.LogLine{}
}

func selfSigned(t testing.TB) (cert, key string, roots *x509.CertPool) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost", "*.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, _ := x509.MarshalPKCS8PrivateKey(k)
	roots = x509.NewCertPool()
	parsed, _ := x509.ParseCertificate(der)
	roots.AddCert(parsed)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder})), roots
}

func (w *world) tls() *tls.Config { return &tls.Config{RootCAs: w.roots, ServerName: "localhost"} }

// backends counts the host's dynos as the router knows them.
func (w *world) backends(host string) int {
	resp, err := http.Get("http://" + w.status + "/hosts/" + host)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var d struct{ Backends map[string]string }
	json.NewDecoder(resp.Body).Decode(&d)
	return len(d.Backends)
}

// refusingAddr is an address where nobody listens.
func refusingAddr(t testing.TB) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}
