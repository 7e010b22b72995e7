package proof_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/hoist-sh/hoist/proof"
	"github.com/hoist-sh/hoist/rendezvous"
)

// bench has a prover, and the ground that components of tests stand on.
type bench struct {
	db      *postgres.DB // as api
	runtime *postgres.DB
	bus     *nats.Bus // as logs
	prover  *proof.Prover
	app     hoist.App
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, roles := postgrestest.New(t)
	bus := natstest.New(t)
	b := &bench{db: db, runtime: roles.Open(hoist.ComponentRuntime), bus: bus.Bus(hoist.ComponentLogs)}
	b.prover = proof.New(proof.Config{DB: db, Bus: bus.Bus(nats.ComponentSeed), Public: hoist.Public{Domain: "paas.example"}, Host: "127.0.0.1",
		Stack: "hoist-1", Region: hoist.Region, Dir: t.TempDir(), Log: natstest.Log(t)})
	// The first proof makes the app.
	if err := b.prover.Prove(t.Context(), proof.Process{Type: hoist.ComponentGit}); err == nil || err.Error() != "it has no door for SSH" {
		t.Fatal(err)
	}
	account, err := db.Account(t.Context(), "proof@hoist.invalid")
	if err != nil {
		t.Fatal(err)
	}
	if b.app, err = db.App(t.Context(), account.ID, hoist.ProofApp); err != nil {
		t.Fatal(err)
	}
	return b
}

// proves checks how the proof of a process ends; want is a regular expression, empty for well.
func (b *bench) proves(t *testing.T, p proof.Process, want string) {
	t.Helper()
	err := b.prover.Prove(t.Context(), p)
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
		t.Errorf("the proof ends with %v, not with %q", err, want)
	}
}

// served serves HTTP until the test ends, and returns the address.
func served(t *testing.T, h http.Handler, start func(http.Handler) *httptest.Server) string {
	s := start(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// refusing is an address at which nobody listens.
func refusing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Each proof has halves. One that is broken alone is found, and named.
func TestEachHalfIsProven(t *testing.T) {
	b := newBench(t)
	t.Run("router", b.router)
	t.Run("api", b.api)
	t.Run("logs", b.logs)
	t.Run("git", b.git)
	t.Run("runtime", b.runs)
}

func (b *bench) router(t *testing.T) {
	passes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "proof.paas.example" {
			http.NotFound(w, r)
			return
		}
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Header.Set("X-Request-Id", "1")
		b.prover.Handler().ServeHTTP(w, r)
	})
	fails := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the client may see only that it cannot send
		http.Error(w, "sabotaged", http.StatusInternalServerError)
	})
	cuts := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body[1:])
	})
	for _, c := range []struct {
		name        string
		http, https http.Handler
		want        string
	}{
		{"whole", passes, passes, ""},
		{"HTTP only", passes, fails, `^https: it answers 500 .*sabotaged`},
		{"HTTPS only", fails, passes, `^http: it answers 500 .*sabotaged`},
		{"bodies are cut over HTTPS", passes, cuts, `^https: of a body of 262144 bytes it passed on 262143, or others$`},
		{"no HTTPS", passes, nil, `^https: .*refused`},
	} {
		t.Run(c.name, func(t *testing.T) {
			doors := map[string]string{"http": served(t, c.http, httptest.NewServer), "https": refusing(t)}
			if c.https != nil {
				doors["https"] = served(t, c.https, httptest.NewTLSServer)
			}
			b.proves(t, proof.Process{Type: hoist.ComponentRouter, Doors: doors}, c.want)
		})
	}
}

func (b *bench) api(t *testing.T) {
	for _, c := range []struct{ name, email, list, want string }{
		{"whole", "proof@hoist.invalid", "[]", ""},
		{"forgets", "proof@hoist.invalid", "[]", `^it does not keep a config var$`},
		{"takes one for another", "ada@example.com", "[]", `^it takes the token for that of "ada@example.com"$`},
		{"lists nothing", "proof@hoist.invalid", `{"id": "server_error"}`, `cannot unmarshal`},
	} {
		t.Run(c.name, func(t *testing.T) {
			vars := map[string]string{}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /account", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"email": %q}`, c.email) })
			mux.HandleFunc("PATCH /apps/"+hoist.ProofApp+"/config-vars", func(w http.ResponseWriter, r *http.Request) {
				json.NewDecoder(r.Body).Decode(&vars)
				json.NewEncoder(w).Encode(vars)
			})
			mux.HandleFunc("GET /apps/"+hoist.ProofApp+"/config-vars", func(w http.ResponseWriter, r *http.Request) {
				if c.name == "forgets" {
					clear(vars)
				}
				json.NewEncoder(w).Encode(vars)
			})
			mux.HandleFunc("GET /apps/"+hoist.ProofApp+"/{list}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, c.list) })
			b.proves(t, proof.Process{Type: hoist.ComponentAPI, Address: served(t, mux, httptest.NewServer)}, c.want)
		})
	}
}

func (b *bench) logs(t *testing.T) {
	for i, c := range []struct {
		name  string
		drops int             // a line
		as    func(n int) int // which one is passed on in a line's place
		want  string
	}{
		{"whole", -1, func(n int) int { return n }, ""},
		{"drops one", 50, func(n int) int { return n }, `^of 100 lines it gave 99: EOF$`},
		{"changes the order", -1, func(n int) int { return n ^ 1 }, `^it changed the lines or their order$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				lines, err := b.bus.Tail(ctx, hoist.StreamLogs+b.app.ID, true)
				if err != nil {
					t.Error(err)
				}
				w.(http.Flusher).Flush()
				for seen := 0; ; {
					m := <-lines
					var line hoist.LogLine
					var nonce string
					var n int
					json.Unmarshal(m.Data, &line)
					if _, err := fmt.Sscanf(line.Text, "proof %s %d", &nonce, &n); err != nil {
						t.Errorf("%q: %v", line.Text, err)
						return
					}
					if seen++; seen <= 100*i { // of the proofs before
						continue
					}
					if n != c.drops {
						fmt.Fprintf(w, "app[proof.1]: proof %s %d\n", nonce, c.as(n))
					}
					if n == 99 {
						return
					}
				}
			}), httptest.NewServer)
			b.proves(t, proof.Process{Type: hoist.ComponentLogs, Address: address}, c.want)
		})
	}
}

func (b *bench) git(t *testing.T) {
	libexec, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                string
		http, ssh, released bool
		sees                string // the repository that the door for SSH shows
		want                string
	}{
		{"whole", true, true, true, hoist.ProofApp, ""},
		{"no push over SSH", true, false, true, hoist.ProofApp, `^over SSH: git push failed: `},
		{"another repository over SSH", true, true, true, "other", `^it took commit [0-9a-f]{12} over HTTP and has  over SSH$`},
		{"no push over HTTP", false, true, true, hoist.ProofApp, `^over HTTP: git push failed: `},
		{"nothing is released", true, true, false, hoist.ProofApp, `^it took commit [0-9a-f]{12}, but there is no release of it$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			repository := func(name string) string { return filepath.Join(root, name+".git") }
			for _, name := range []string{hoist.ProofApp, "other"} {
				for _, args := range [][]string{{"init", "-q", "--bare", repository(name)}, {"-C", repository(name), "config", "http.receivepack", "true"}} {
					if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
				}
			}
			pushed := func() {
				if c.released {
					b.release(t, strings.TrimSpace(output(t, "git", "-C", repository(hoist.ProofApp), "rev-parse", "refs/heads/main")))
				}
			}
			backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(libexec)), "git-http-backend"),
				Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
			address := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !c.http && strings.Contains(r.URL.String(), "git-receive-pack") {
					http.Error(w, "sabotaged", http.StatusServiceUnavailable)
					return
				}
				backend.ServeHTTP(w, r)
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
					pushed()
				}
			}), httptest.NewServer)
			door := sshDoor(t, func(command string) *exec.Cmd {
				if command == "receive-pack" && !c.ssh {
					return exec.Command("false")
				}
				return exec.Command("git", command, repository(c.sees))
			}, pushed)
			b.proves(t, proof.Process{Type: hoist.ComponentGit, Address: address, Doors: map[string]string{"ssh": door}}, c.want)
		})
	}
}

// release makes a build of a commit, and its release.
func (b *bench) release(t *testing.T, commit string) {
	t.Helper()
	release := hoist.NewID()
	for _, sql := range []string{
		`INSERT INTO releases (id, app_id, version, description, account_id)
			SELECT $3, $1, 1 + (SELECT coalesce(max(version), 0) FROM releases WHERE app_id = $1), 'Deploy ' || $2::text, $4`,
		`INSERT INTO builds (id, app_id, account_id, stack, source_version, release_id, state) SELECT gen_random_uuid(), $1, $4, 'hoist-1', $2, $3, 'succeeded'`,
	} {
		if _, err := b.db.Pool.Exec(t.Context(), sql, b.app.ID, commit, release, b.app.OwnerID); err != nil {
			t.Error(err)
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Errorf("%s %v: %v", name, args, err)
	}
	return string(out)
}

func (b *bench) runs(t *testing.T) {
	slug, release := hoist.NewID(), hoist.NewID()
	_, err := b.db.Pool.Exec(t.Context(), `INSERT INTO slugs (id, app_id, blob_key, ready) VALUES ($1, $2, 'slugs/x', true)`, slug, b.app.ID)
	if err == nil {
		_, err = b.db.Pool.Exec(t.Context(), `INSERT INTO releases (id, app_id, version, slug_id, description, account_id)
			VALUES ($1, $2, 1000, $3, 'Deploy', $4)`, release, b.app.ID, slug, b.app.OwnerID)
	}
	if err != nil {
		t.Fatal(err)
	}
	says := func(nonce string, files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		image := filepath.Join(t.TempDir(), "slug")
		output(t, "mksquashfs", dir, image, "-quiet", "-no-progress")
		text, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		return nonce + "\n" + base64.StdEncoding.EncodeToString(text) + "\nproven\n"
	}
	const procfile = "proof: cat nonce\n"
	good := says("abc", map[string]string{"nonce": "abc", "Procfile": procfile})
	for _, c := range []struct {
		name, said string
		reach      bool
		refuse     error
		code       int
		want       string
	}{
		{"whole", good, true, nil, 0, ""},
		{"a dyno that nobody can reach", good, false, nil, 0, `^a dyno did not start: .*refused`},
		{"a dyno that does not start", good, true, hoist.Invalid("sabotaged runtime"), 0, `^a dyno did not start: .*sabotaged runtime`},
		{"another dyno", "abc\n", true, nil, 0, `^a dyno said "abc\\n"`},
		{"an empty slug", says("abc", nil), true, nil, 0, `^a build dyno: the slug it made cannot be read: `},
		{"the slug of another source", says("abc", map[string]string{"nonce": "abd", "Procfile": procfile}), true, nil, 0,
			`^a build dyno: in the slug it made, nonce is not what it was in the source$`},
		{"another exit code", good, true, nil, 1, `^a dyno that ended well is noted as ended otherwise: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			w := hoist.Worker{ID: hoist.NewID(), Address: l.Addr().String(), Probation: true}
			if !c.reach {
				w.Address = refusing(t)
			}
			if _, err := b.runtime.SeeWorker(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if rendezvous.Accept(conn, func(string) error { return c.refuse }) != nil {
					return
				}
				io.WriteString(conn, c.said)
				dynos, err := b.runtime.WorkerDynos(t.Context(), w.ID)
				if err != nil || len(dynos) != 1 {
					t.Errorf("the dynos are %v, %v", dynos, err)
					return
				}
				d := dynos[0]
				d.State, d.ExitCode = hoist.DynoDown, &c.code
				if err := b.runtime.UpdateDyno(t.Context(), w.ID, d); err != nil {
					t.Error(err)
				}
			}()
			b.proves(t, proof.Process{Type: hoist.ComponentRuntime, Worker: w.ID}, c.want)
		})
	}
}
