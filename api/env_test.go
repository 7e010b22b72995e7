package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/api/schematest"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
)

// env is an API with a database and a bus of its own, all real.
type env struct {
	t       *testing.T
	db      *postgres.DB
	roles   *postgrestest.Roles
	nats    *natstest.Server
	bus     hoist.Bus
	blobs   *blobtest.Store
	server  *Server
	url     string
	schema  *schematest.Recorder
	email   string
	token   string
	account hoist.Account
	stops   map[*Server]func() // end a process and wait for it
}

const testPassword = "correct horse"

func start(t *testing.T) *env { return startWith(t, func(*Config) {}) }

func startGround(t *testing.T) *env {
	t.Helper()
	e := &env{t: t, email: "ann@example.com", stops: map[*Server]func(){}}
	e.db, e.roles = postgrestest.New(t)
	e.nats = natstest.New(t)
	e.bus = e.nats.Bus(hoist.ComponentAPI)
	e.blobs = blobtest.New(t)
	schema, err := schematest.Load()
	if err != nil {
		t.Fatal(err)
	}
	e.schema = schematest.NewRecorder(schema)
	t.Cleanup(func() {
		report := e.schema.Report()
		for _, wrong := range report.Wrong {
			t.Error(wrong)
		}
		t.Log(report)
		if name := os.Getenv("HOIST_SCHEMA_REPORT"); name != "" {
			if err := report.WriteFile(name); err != nil {
				t.Error(err)
			}
		}
	})
	return e
}

// startWith is start with one API process that is configured otherwise.
func startWith(t *testing.T, change func(*Config)) *env {
	t.Helper()
	e := startGround(t)
	e.server, e.url = e.process(change)
	e.account, e.token = e.newAccount(e.email)
	return e
}

// process starts a further API process on the same ground.
func (e *env) process(change ...func(*Config)) (*Server, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	cfg := Config{
		DB: e.db, Bus: e.bus, Blobs: e.blobs.Open(hoist.ComponentAPI), Stack: "debian-12", SigningKey: []byte("key"),
		BuiltIn: map[string]string{"hoist/go": "hoist/go", "heroku/go": "hoist/go"},
		Public:  hoist.Public{Domain: "127.0.0.1", HTTP: port, SSH: 2222, Rendezvous: 5000},
		Log:     slog.New(slog.NewTextHandler(e.t.Output(), nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	server := New(l, cfg)
	server.launchPatience = 4 * time.Second
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Error(err)
		}
	})
	e.stops[server] = stop
	e.t.Cleanup(stop)
	return server, "http://" + l.Addr().String()
}

// run runs a subtest, which fails by itself.
func (e *env) run(name string, f func(t *testing.T, e *env)) {
	e.t.Run(name, func(t *testing.T) {
		sub := *e
		sub.t = t
		f(t, &sub)
	})
}

func (e *env) newAccount(email string) (hoist.Account, string) {
	e.t.Helper()
	ctx := context.Background()
	hash, err := HashPassword(testPassword)
	if err != nil {
		e.t.Fatal(err)
	}
	a := hoist.Account{ID: hoist.NewID(), Email: email, PasswordHash: hash}
	if err := e.db.CreateAccount(ctx, a); err != nil {
		e.t.Fatal(err)
	}
	token := NewToken()
	_, err = e.db.CreateAuthorization(ctx, hoist.Authorization{
		ID: hoist.NewID(), AccountID: a.ID, Scope: []string{"global"}, TokenHash: HashToken(token)})
	if err != nil {
		e.t.Fatal(err)
	}
	return a, token
}

// as returns the same API seen by another account.
func (e *env) as(email string) *env {
	other := *e
	other.email = email
	other.account, other.token = e.newAccount(email)
	return &other
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get reads a value by its path, such as "0.app.name"; nil if there is none.
func (a answer) get(path string) any {
	var v any
	json.Unmarshal(a.body, &v)
	for part := range strings.SplitSeq(path, ".") {
		switch container := v.(type) {
		case map[string]any:
			v = container[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(container) {
				return nil
			}
			v = container[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	if v := a.get(path); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// size is how many elements the list has.
func (a answer) size() int {
	var list []any
	json.Unmarshal(a.body, &list)
	return len(list)
}

// send makes a request with further headers, each "Name: value".
func (e *env) send(method, path, body string, headers ...string) answer {
	e.t.Helper()
	r, err := http.NewRequest(method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	if e.token != "" {
		r.Header.Set("Authorization", "Bearer "+e.token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	client := http.Client{Transport: e.schema.Transport(http.DefaultTransport), Timeout: 30 * time.Second}
	response, err := client.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, text}
}

// want makes a request and insists on the status.
func (e *env) want(status int, method, path, body string, headers ...string) answer {
	e.t.Helper()
	a := e.send(method, path, body, headers...)
	if a.status != status {
		e.t.Fatalf("%s %s %s: %d, not %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

// overtaken makes a request whose body comes late: when the API, which has
// authenticated it, waits for that, and meanwhile is over.
func (e *env) overtaken(method, path, body string, meanwhile func()) {
	e.t.Helper()
	late := io.MultiReader(&onRead{f: meanwhile}, strings.NewReader(body))
	r, err := http.NewRequest(method, e.url+path, late)
	if err != nil {
		e.t.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	r.Header.Set("Authorization", "Bearer "+e.token)
	r.Header.Set("Expect", "100-continue")
	client := http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		e.t.Fatalf("%s %s %s: %d", method, path, body, response.StatusCode)
	}
}

// onRead is an empty text before whose end something is done.
type onRead struct{ f func() }

func (r *onRead) Read([]byte) (int, error) {
	r.f()
	return 0, io.EOF
}

// app makes an app and returns its name and ID.
func (e *env) app(name string) (string, hoist.ID) {
	e.t.Helper()
	a := e.want(201, "POST", "/apps", `{"name":"`+name+`"}`)
	return a.text("name"), a.text("id")
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("in vain: " + what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// exec changes the database as another component would.
func (e *env) exec(sql string, args ...any) {
	e.t.Helper()
	if _, err := e.db.Pool.Exec(context.Background(), sql, args...); err != nil {
		e.t.Fatal(err)
	}
}
