package runtime_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/hoist-sh/hoist/runtime"
)

// TestMain makes the test program also the app that its dynos run: $APP.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("APP") != "":
	case os.Getuid() != 0:
		os.Exit(m.Run())
	default:
		if err := oci.Isolate(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if os.Getenv(processEnv) != "" {
			os.Exit(runtimeProcess())
		}
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "web": // answers with its environment's V, ends by SIGTERM
		started := time.Now()
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("BIND"), os.Getenv("PORT")))
		if err != nil {
			panic(err)
		}
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", os.Getenv("DYNO"), os.Getenv("V"))
			if r.URL.Path == "/started" {
				fmt.Fprintf(w, " %s", started)
			}
		}))
		fmt.Println("serving")
		<-term
		os.Exit(0)
	case "count": // half of the time several at once
		for i := 0; ; i++ {
			fmt.Println("count", i)
			if i/100%2 == 0 || i%10 == 0 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	case "flood":
		for {
			fmt.Println("a line of output that nobody can read as fast as it comes")
		}
	}
}

// platform is a runtime's surroundings.
type platform struct {
	db    *postgres.DB // as api
	roles *postgrestest.Roles
	nats  *natstest.Server
	bus   *nats.Bus // as api
	tail  *nats.Bus // as logs
	blobs *awayBlobs
	store *blobtest.Store
	wire  *wire // between workers and the database; may be nil
	owner hoist.ID
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	db, roles := postgrestest.New(t)
	p := &platform{db: db, roles: roles, nats: natstest.New(t), owner: hoist.NewID()}
	p.store = blobtest.New(t)
	p.blobs = &awayBlobs{Blobs: p.store.Open(hoist.ComponentRuntime)}
	p.bus, p.tail = p.nats.Bus(hoist.ComponentAPI), p.nats.Bus(hoist.ComponentLogs)
	p.exec(t, `INSERT INTO accounts (id, email) VALUES ($1, 'ada@example.com')`, p.owner)
	return p
}

func (p *platform) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := p.db.Pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// workers is how many there are.
func (p *platform) workers(t *testing.T) (n int) {
	t.Helper()
	if err := p.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM workers WHERE seen_at > now() - interval '2 s'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// worker starts a runtime; fast, so that tests are. stop ends it and waits.
func (p *platform) worker(t *testing.T, e hoist.Engine, adjust ...func(*runtime.Config)) (stop func()) {
	t.Helper()
	cfg := runtime.Config{
		Dir: t.TempDir(), Memory: 8 << 30,
		BootTimeout: 3 * time.Second, Drain: 100 * time.Millisecond, StopGrace: 3 * time.Second,
		AttachTimeout: 2 * time.Second, Backoff: 50 * time.Millisecond, LostAfter: 3 * time.Second,
	}
	for _, f := range adjust {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	db := p.roles.Open(hoist.ComponentRuntime)
	if p.wire != nil {
		u, _ := url.Parse(p.roles.URL(hoist.ComponentRuntime))
		u.Host = p.wire.l.Addr().String()
		var err error
		if db, err = postgres.Open(ctx, u.String()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(db.Close)
	}
	rt := runtime.New(cfg, db, p.nats.Bus(hoist.ComponentRuntime), p.blobs, e, natstest.Log(t))
	go func() { done <- rt.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("runtime: %v", err)
		}
	})
	t.Cleanup(func() { stop(); p.exec(t, `DELETE FROM workers`) })
	return stop
}

// wire is a TCP connection to a database that can be cut.
type wire struct {
	to  string
	l   net.Listener
	mu  sync.Mutex
	cut bool
	all []net.Conn
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: to, l: l}
	t.Cleanup(func() { w.set(true); l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			out, err := net.Dial("tcp", w.to)
			if w.cut || err != nil {
				in.Close()
			} else {
				w.all = append(w.all, in, out)
				go io.Copy(in, out)
				go io.Copy(out, in)
			}
			w.mu.Unlock()
		}
	}()
	return w
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.all {
		c.Close()
	}
	w.all = nil
}

// app is an app with a formation.
type app struct {
	t  *testing.T
	p  *platform
	id hoist.ID
	v  int
}

func (p *platform) app(t *testing.T) *app {
	t.Helper()
	a := &app{t: t, p: p, id: hoist.NewID()}
	p.exec(t, `INSERT INTO apps (id, name, owner_id, stack, region) VALUES ($1, $2, $3, 'hoist-1', 'home')`, a.id, "a"+a.id[:8], p.owner)
	t.Cleanup(func() {
		p.exec(t, `UPDATE apps SET current_release_id = NULL WHERE id = $1`, a.id)
		p.exec(t, `DELETE FROM apps WHERE id = $1`, a.id)
	})
	return a
}

// deploy makes a release whose slug and commands are new.
func (a *app) deploy(commands map[string]string) hoist.ID {
	a.t.Helper()
	return a.deployImage([]byte(fmt.Sprint("image ", a.v)), commands)
}

func (a *app) deployImage(image []byte, commands map[string]string) hoist.ID {
	a.t.Helper()
	a.v++
	slug, release := hoist.NewID(), hoist.NewID()
	sum := sha256.Sum256(image)
	if err := a.p.store.Open(blobtest.Everybody).Put(a.t.Context(), "slugs/"+slug, bytes.NewReader(image), int64(len(image)), hoist.SlugLimit); err != nil {
		a.t.Fatal(err)
	}
	a.p.exec(a.t, `INSERT INTO slugs (id, app_id, blob_key, sha256, size, ready) VALUES ($1, $2, $3, $4, $5, true)`,
		slug, a.id, "slugs/"+slug, hex.EncodeToString(sum[:]), len(image))
	a.p.exec(a.t, `INSERT INTO releases (id, app_id, version, slug_id, config, description, account_id) VALUES ($1, $2, $3, $4, $5, 'Deploy', $6)`,
		release, a.id, a.v, slug, map[string]string{"V": fmt.Sprint("v", a.v)}, a.p.owner)
	for typ, command := range commands {
		a.p.exec(a.t, `INSERT INTO formation (id, app_id, type, command, quantity, size) VALUES ($1, $2, $3, $4, 1, 'Basic')
			ON CONFLICT (app_id, type) DO UPDATE SET command = $4`, hoist.NewID(), a.id, typ, command)
	}
	a.p.exec(a.t, `UPDATE apps SET current_release_id = $2 WHERE id = $1`, a.id, release)
	a.ring()
	return release
}

func (a *app) scale(typ string, quantity int) {
	a.t.Helper()
	a.p.exec(a.t, `UPDATE formation SET quantity = $3 WHERE app_id = $1 AND type = $2`, a.id, typ, quantity)
	a.ring()
}

func (a *app) want(dyno hoist.ID, want hoist.DynoWant) {
	a.t.Helper()
	a.p.exec(a.t, `UPDATE dynos SET want = $2 WHERE id = $1`, dyno, want)
	a.ring()
}

func (a *app) ring() { a.p.bus.Ring(hoist.BellFormation+a.id, nil) }

// dynos returns the app's rows, all of them.
func (a *app) dynos() []hoist.Dyno {
	a.t.Helper()
	rows, err := a.p.db.Pool.Query(context.Background(), `
		SELECT id, coalesce(release_id::text, ''), type, number, want, state, coalesce(worker_id::text, ''), address, restarts, exit_code, reason
		FROM dynos WHERE app_id = $1 ORDER BY type, number, created_at`, a.id)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	var list []hoist.Dyno
	for rows.Next() {
		var d hoist.Dyno
		if err := rows.Scan(&d.ID, &d.ReleaseID, &d.Type, &d.Number, &d.Want, &d.State, &d.WorkerID, &d.Address, &d.Restarts, &d.ExitCode, &d.Reason); err != nil {
			a.t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// live describes the dynos that are not down: "web.1 up, web.2 starting".
func (a *app) live() string {
	var list []string
	for _, d := range a.dynos() {
		if d.State != hoist.DynoDown {
			list = append(list, d.Name()+" "+string(d.State))
		}
	}
	return strings.Join(list, ", ")
}

// becomes waits until live is want.
func (a *app) becomes(want string) {
	a.t.Helper()
	a.eventually("dynos: "+want, func() bool { return a.live() == want })
}

func (a *app) eventually(what string, f func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("never came: %s; dynos: %+v", what, a.dynos())
		}
	}
}

// get asks a web dyno of the app that is up, as the router does.
func (a *app) get() (body string, err error) { return a.getPath("/") }

func (a *app) getPath(path string) (body string, err error) {
	for _, d := range a.dynos() {
		if d.State == hoist.DynoUp && d.Address != "" {
			res, err := http.Get("http://" + d.Address + path)
			if err != nil {
				return "", err
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			return string(b), err
		}
	}
	return "", fmt.Errorf("H10: no web dyno is up: %s", a.live())
}

// log returns the app's log so far: "heroku[web.1]: text".
func (a *app) log() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	messages, err := a.p.tail.Tail(ctx, hoist.StreamLogs+a.id, false)
	if err != nil {
		a.t.Fatal(err)
	}
	var text strings.Builder
	for m := range messages {
		var l hoist.LogLine
		if err := json.Unmarshal(m.Data, &l); err != nil {
			a.t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s[%s]: %s\n", l.Source, l.Dyno, l.Text)
	}
	return text.String()
}

func (a *app) logs(lines ...string) {
	a.t.Helper()
	for _, line := range lines {
		a.eventually("log line "+line, func() bool { return strings.Contains(a.log(), line) })
	}
}

// awayBlobs is a blob store that may be away.
type awayBlobs struct {
	hoist.Blobs
	mu   sync.Mutex
	away error
}

func (b *awayBlobs) setAway(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = err
}

func (b *awayBlobs) Get(ctx context.Context, key string) (io.ReadCloser, hoist.BlobInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away != nil {
		return nil, hoist.BlobInfo{}, b.away
	}
	return b.Blobs.Get(ctx, key)
}
