package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/api"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/hoist-sh/hoist/cli"
	"github.com/hoist-sh/hoist/logs"
	"github.com/hoist-sh/hoist/nats/natstest"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/postgres/postgrestest"
	"github.com/spf13/cobra"
)

// live is the real API and the real logs, behind one address as the router
// gives them, and a person in a git repository.
type live struct {
	t   *testing.T
	db  *postgres.DB
	bus hoist.Bus // the runtime's
	dir string
	env map[string]string
}

func newLive(t *testing.T) *live {
	t.Helper()
	db, roles := postgrestest.New(t)
	bus := natstest.New(t)
	if err := bus.Bus("seed").EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := blobtest.New(t)
	var front http.ServeMux
	web := httptest.NewServer(&front)
	t.Cleanup(web.Close)
	port := web.Listener.Addr().(*net.TCPAddr).Port
	public := hoist.Public{Domain: "localhost", HTTP: port, SSH: 2222}
	l := &live{t: t, db: db, bus: bus.Bus(hoist.ComponentRuntime), dir: t.TempDir()}
	serve := func(path string, c func(net.Listener) hoist.Component) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		component := c(listener)
		done.Go(func() { component.Run(ctx) })
		t.Cleanup(func() { cancel(); done.Wait() })
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener.Addr().String()})
		proxy.FlushInterval = -1
		front.Handle(path, proxy)
	}
	serve("/", func(n net.Listener) hoist.Component {
		return api.New(n, api.Config{DB: roles.Open("api"), Bus: bus.Bus("api"), Blobs: store.Open("api"), Public: public, Stack: "debian-12",
			BuiltIn:    map[string]string{"hoist/go": "hoist/go", "hoist/node": "hoist/node"},
			SigningKey: []byte("key"), Log: natstest.Log(t)})
	})
	serve("/streams/", func(n net.Listener) hoist.Component {
		return logs.New(n, roles.Open("logs"), bus.Bus("logs"), 0, natstest.Log(t))
	})
	hash, err := api.HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"ann@example.com", "bob@example.com"} {
		if err := db.CreateAccount(t.Context(), hoist.Account{ID: hoist.NewID(), Email: email, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	l.env = map[string]string{"HOME": t.TempDir()}
	deadline := time.Now().Add(20 * time.Second)
	for code := 1; code != 0; time.Sleep(50 * time.Millisecond) { // the api waits for what it lacks
		var errs string
		if code, _, errs = l.try(t.Context(), "ann@example.com\ncorrect horse\n", "login", "--host", "localhost:"+strings.TrimPrefix(web.URL, "http://127.0.0.1:")); code != 0 && time.Now().After(deadline) {
			t.Fatal(errs)
		}
	}
	if out, err := exec.Command("git", "init", "-q", l.dir).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	return l
}

func (l *live) try(ctx context.Context, in string, line ...string) (int, string, string) {
	var out, errs bytes.Buffer
	c := &cli.CLI{In: strings.NewReader(in), Out: &out, Err: &errs, Env: func(n string) string { return l.env[n] }, Now: time.Now, Dir: l.dir}
	root := &cobra.Command{Use: "hoist"}
	root.AddCommand(c.Commands()...)
	code := c.Execute(ctx, root, line)
	return code, out.String(), errs.String()
}

// ok runs a command that must succeed and print what is wanted.
func (l *live) ok(line string, wants ...string) string {
	l.t.Helper()
	return l.expect(0, line, wants...)
}

func (l *live) expect(code int, line string, wants ...string) string {
	l.t.Helper()
	got, out, errs := l.try(l.t.Context(), "", strings.Fields(line)...)
	if got != code {
		l.t.Fatalf("hoist %s: exit code %d\n%s%s", line, got, out, errs)
	}
	for _, want := range wants {
		if !strings.Contains(out+errs, want) {
			l.t.Errorf("hoist %s: no %q in\n%s%s", line, want, out, errs)
		}
	}
	return out
}

func (l *live) exec(sql string, args ...any) {
	l.t.Helper()
	if _, err := l.db.Pool.Exec(l.t.Context(), sql, args...); err != nil {
		l.t.Fatal(err)
	}
}

func TestEveryCommandAgainstTheRealAPI(t *testing.T) {
	l := newLive(t)
	l.ok("whoami", "ann@example.com")
	l.ok("whoami --json", `"email": "ann@example.com"`)
	l.ok("apps", "You have no apps")
	l.ok("create demo --buildpack hoist/go", "Creating demo... done", "http://demo.localhost:", "set git remote hoist to http://git.localhost:")
	l.expect(1, "create demo", "demo")
	l.ok("apps", "ann@example.com Apps", "demo")
	l.ok("apps --json", `"name": "demo"`)
	l.ok("info", "=== demo", "Owner:", "ann@example.com", "Web URL:")
	l.ok("open", "http://demo.localhost:")
	l.ok("config set A=1 B=x=y", "v2", "A:  1", "B:  x=y")
	l.ok("config:get B", "x=y")
	l.ok("config:unset A", "v3")
	l.expect(1, "config:get A", "A is not set on demo")
	l.ok("releases", "v3", "Current: v3")
	l.ok("releases --json -n 1", `"version": 3`)
	l.ok("releases:info v2", "Release v2", "ann@example.com")
	l.ok("ps", "demo has no dynos")
	l.expect(1, "ps:scale web=1", "Deploy it first")
	l.expect(1, "ps:restart web", "demo has no dyno web") // not: no such app
	l.ok("buildpacks", "hoist/go")
	l.ok("buildpacks:add -i 1 hoist/node", "1. hoist/node", "2. hoist/go")
	l.expect(1, "buildpacks:remove hoist/noed", "Did you mean hoist/node?")
	l.ok("buildpacks:remove hoist/node", "hoist/go")
	l.ok("buildpacks:clear", "has no buildpacks")
	l.ok("access:add bob@example.com", "done")
	l.ok("access", "bob@example.com", "collaborator")
	l.ok("access remove bob@example.com", "done")
	l.ok("domains:add www.example.com", "Adding www.example.com")
	l.ok("domains", "www.example.com")
	l.ok("domains:remove www.example.com")
	l.ok("maintenance", "off")
	l.ok("maintenance:on")
	l.ok("maintenance", "on")
	l.ok("maintenance:off")
	l.ok("builds", "has no builds")
	l.ok("rename demo-two", "http://demo-two.localhost", "set git remote hoist to")
	l.ok("git:remote demo-two --ssh -r ssh", "ssh://git@localhost:2222/demo-two.git")
	l.ok("info -r ssh", "=== demo-two")

	key := l.dir + "/key"
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann@laptop", "-f", key).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	l.ok("keys", "You have no SSH keys")
	l.expect(1, "keys:add "+key, "is a private key")
	l.ok("keys:add "+key+".pub", "SHA256:")
	l.ok("keys", "ann@laptop")
	l.expect(1, "keys:remove ann@laptp", "Did you mean ann@laptop?")
	l.ok("keys:remove ann@laptop")

	l.expect(2, "destroy", "--confirm demo-two")
	l.ok("destroy --confirm demo-two", "done", "removed git remote hoist", "removed git remote ssh")
	l.expect(1, "info -a demo-two", "Couldn't find that app")
	l.expect(2, "info", "Which app?")
	l.ok("logout")
	l.expect(1, "whoami", "hoist login")
}

func TestDynosAndRollbackAgainstTheRealAPI(t *testing.T) {
	l := newLive(t)
	l.ok("create demo")
	l.exec(`INSERT INTO slugs (id, app_id, blob_key, ready, process_types)
		SELECT $1, id, 'k', true, '{"web": "bin/web", "worker": "bin/worker"}' FROM apps`, hoist.NewID())
	l.exec(`INSERT INTO formation (id, app_id, type, command, quantity, size) SELECT gen_random_uuid(), id, t, 'bin/' || t, 1, 'Basic' FROM apps, unnest('{web,worker}'::text[]) t`)
	l.exec(`INSERT INTO dynos (id, app_id, kind, type, number, size, command, state) SELECT gen_random_uuid(), id, 'formation', 'web', 1, 'Basic', 'bin/web', 'up' FROM apps`)
	l.ok("ps", "=== web (Basic): bin/web (1)", "web.1: up ")
	l.ok("ps --table", "web.1         up for ", "s           bin/web")
	l.ok("ps:scale", "web=1:Basic worker=1:Basic")
	l.ok("ps:scale web=2 worker+1:standard-2x", "Scaling dynos... done, now running web at 2:Basic, worker at 2:Standard-2X")
	l.expect(1, "ps:scale wroker=2", "wroker", "Did you mean worker?")
	l.expect(1, "ps:scale web=1:colossal", "colossal")
	l.ok("ps:type worker=Eco", "Eco")
	l.ok("ps:restart web.1", "done")
	l.ok("restart", "done")
	l.expect(1, "ps:stop web.7", "demo has no dyno web.7", "Did you mean web.1?")
	l.expect(1, "ps:restart wbe", "web")
	l.ok("run:detached sleep 5", "done, run.1", "hoist logs --app demo --dyno run.1")
	l.ok("ps run", "run.1 (Basic): starting", "sleep 5")
	l.ok("ps:stop run.1")

	l.exec(`UPDATE releases SET slug_id = (SELECT id FROM slugs)`)
	l.ok("config:set A=1", "v2")
	l.ok("config:set A=2", "v3")
	l.ok("rollback", "Rolling back demo to v2... done, v4")
	l.ok("config:get A", "1")
	l.ok("rollback v3", "done, v5")
	l.expect(1, "rollback v99")
	_, out, _ := l.try(t.Context(), "", "__complete", "ps:scale", "w")
	for _, want := range []string{"web=", "worker="} {
		if !strings.Contains(out, want) {
			t.Errorf("completion: no %s in %s", want, out)
		}
	}
	for want, words := range map[string][]string{"A\n": {"config", "get", ""}, "demo\n": {"ps", "--app", "d"}, "demo\n:4": {"info", ""}} {
		if _, out, _ := l.try(t.Context(), "", append([]string{"__complete"}, words...)...); !strings.Contains(out, want) {
			t.Errorf("completion of %q: %s", words, out)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := l.try(t.Context(), "", "completion", shell)
		if code != 0 || !strings.Contains(out, "__complete") {
			t.Errorf("completion %s: exit code %d, %s", shell, code, errs)
			continue
		}
		if path, err := exec.LookPath(shell); err == nil {
			check := exec.Command(path, "-n")
			check.Stdin = strings.NewReader(out)
			if said, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s does not take its completion: %s", shell, said)
			}
		}
	}
}

func TestLogsAgainstTheRealThing(t *testing.T) {
	l := newLive(t)
	l.ok("create demo")
	var app hoist.ID
	if err := l.db.Pool.QueryRow(t.Context(), `SELECT id FROM apps`).Scan(&app); err != nil {
		t.Fatal(err)
	}
	say := func(dyno, text string) {
		b, _ := json.Marshal(hoist.LogLine{Time: time.Now(), Source: "app", Dyno: dyno, Text: text})
		l.bus.Append(hoist.StreamLogs+app, b)
		l.bus.Flush(t.Context())
	}
	say("web.1", "one")
	say("worker.1", "two")
	l.ok("logs", " app[web.1]: one\n", " app[worker.1]: two\n")
	if out := l.ok("logs --dyno web"); strings.Contains(out, "two") {
		t.Error(out)
	}
	l.ok("logs -n 1 --json", `"source":"app","dyno":"worker.1","text":"two"}`)
	l.expect(2, "logs -n 1501", "1500")
	l.ok("logs --dyno clock", "No such lines are kept of demo")

	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done := make(chan int)
	go func() {
		c := &cli.CLI{In: strings.NewReader(""), Out: w, Err: w, Env: func(n string) string { return l.env[n] }, Now: time.Now, Dir: l.dir}
		root := &cobra.Command{Use: "hoist"}
		root.AddCommand(c.Commands()...)
		done <- c.Execute(ctx, root, []string{"logs", "-t", "-n", "1"})
	}()
	seen := ""
	expect := func(want string) {
		t.Helper()
		r.SetReadDeadline(time.Now().Add(15 * time.Second))
		for buf := make([]byte, 1000); !strings.Contains(seen, want); {
			n, err := r.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, seen)
			}
			seen += string(buf[:n])
		}
	}
	expect("worker.1]: two\n")
	say("web.1", "three")
	expect("web.1]: three\n")
	cancel()
	if code := <-done; code != 130 {
		t.Error("exit code", code)
	}
}
