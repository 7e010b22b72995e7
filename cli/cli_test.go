package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

var now = time.Date(2026, 11, 22, 13, 23, 0, 0, time.UTC)

// shell runs commands as a person does, against answers given by path.
type shell struct {
	t        *testing.T
	answers  map[string]string // "GET /apps": body
	requests []string          // "PATCH /apps/x {…}"
	env      map[string]string
	in       string
	dir      string
}

func newShell(t *testing.T, answers map[string]string) *shell {
	s := &shell{t: t, answers: answers, dir: t.TempDir()}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.env = map[string]string{"HOIST_HOST": srv.URL, "HOIST_API_KEY": "token", "HOME": t.TempDir()}
	return s
}

func (s *shell) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	answer, ok := s.answers[r.Method+" "+r.URL.RequestURI()]
	switch {
	case r.Header.Get("Authorization") != "Bearer token":
		w.WriteHeader(401)
		io.WriteString(w, `{"id":"unauthorized","message":"Invalid credentials provided."}`)
	case !ok:
		w.WriteHeader(404)
		io.WriteString(w, `{"id":"not_found","message":"Couldn't find that app.","resource":"app"}`)
	default:
		io.WriteString(w, answer)
	}
}

func (s *shell) run(line ...string) (code int, out, errs string) {
	s.t.Helper()
	var o, e bytes.Buffer
	c := &CLI{In: strings.NewReader(s.in), Out: &o, Err: &e, Env: func(n string) string { return s.env[n] },
		Now: func() time.Time { return now }, Dir: s.dir}
	root := &cobra.Command{Use: "hoist", Short: "Run apps"}
	root.AddCommand(c.Commands()...)
	api := &cobra.Command{Use: "api", Short: "Serve the API", GroupID: "platform", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {}}
	api.PersistentFlags().String("data", "", "`DIR` of all data")
	api.AddCommand(&cobra.Command{Use: "status [-q]", Short: "Show it", Args: cobra.NoArgs, Run: api.Run})
	root.AddCommand(api)
	code = c.Execute(context.Background(), root, line)
	return code, o.String(), e.String()
}

// golden compares all that a command prints.
func (s *shell) golden(wantCode int, wantOut, wantErr string, line ...string) {
	s.t.Helper()
	code, out, errs := s.run(line...)
	if code != wantCode {
		s.t.Errorf("%v: exit code %d, want %d", line, code, wantCode)
	}
	if d := cmp.Diff(strings.TrimPrefix(wantOut, "\n"), out); d != "" {
		s.t.Errorf("%v: stdout (-want +got):\n%s", line, d)
	}
	if d := cmp.Diff(strings.TrimPrefix(wantErr, "\n"), errs); d != "" {
		s.t.Errorf("%v: stderr (-want +got):\n%s", line, d)
	}
}

const dynosOfDemo = `[
	{"name":"web.10","type":"web","size":"Basic","state":"starting","command":"npm start","updated_at":"2026-11-22T13:22:55Z"},
	{"name":"run.13","type":"run","size":"Basic","state":"up","command":"bash","updated_at":"2026-11-22T13:22:00Z"},
	{"name":"web.2","type":"web","size":"Basic","state":"up","command":"npm start","updated_at":"2026-11-22T13:20:00Z"},
	{"name":"worker.1","type":"worker","size":"Standard-2X","state":"crashed","command":"node worker.js","updated_at":"2026-11-13T03:20:00Z",
		"reason":"R99 (Platform error): slug: the stored slug is damaged; deploy again"}]`

func TestPsGroupsDynosAsHerokuDoes(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/dynos": dynosOfDemo})
	s.golden(0, `
=== web (Basic): npm start (2)

web.2: up 2026/11/22 13:20:00 +0000 (~ 3m ago)
web.10: starting 2026/11/22 13:22:55 +0000 (~ 5s ago)

=== worker (Standard-2X): node worker.js (1)

worker.1: crashed 2026/11/13 03:20:00 +0000 (~ 9d ago): R99 (Platform error): slug: the stored slug is damaged; deploy again

=== run: one-off processes (1)

run.13 (Basic): up 2026/11/22 13:22:00 +0000 (~ 1m ago): bash

`, "", "ps", "-a", "demo")
}

func TestPsTableIsThatOfTheTalk(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/dynos": dynosOfDemo})
	s.golden(0, `
Process       State               Command
------------  ------------------  ------------------------------
web.2         up for 3m           npm start
web.10        starting for 5s     npm start
worker.1      crashed for 9d      node worker.js
run.13        up for 1m           bash
`, "", "ps", "--table", "-a", "demo")
}

func TestDynosOnTheirWayOutDoNotCount(t *testing.T) {
	s := newShell(t, map[string]string{
		"GET /apps/demo/dynos": `[{"name":"web.1","type":"web","size":"Basic","state":"stopping","command":"x","updated_at":"2026-11-22T13:22:55Z"},
			{"name":"web.1","type":"web","size":"Basic","state":"up","command":"x","updated_at":"2026-11-22T13:22:55Z"},
			{"name":"web.1","type":"web","size":"Basic","state":"starting","command":"x","updated_at":"2026-11-22T13:22:56Z"}]`,
		"GET /apps/demo": `{"name":"demo"}`, "GET /apps/demo/collaborators": `[]`,
	})
	for _, c := range []struct{ command, want string }{{"ps", "=== web (Basic): x (1)\n"}, {"info", "Dynos:    web: 1\n"}} {
		if _, out, _ := s.run(c.command, "-a", "demo"); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", c.command, out)
		}
	}
}

func TestPsOfATypeThatDoesNotRun(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/dynos": dynosOfDemo})
	s.golden(1, "", " !    demo runs no dynos of type scal.\n !    Did you mean `hoist ps:scale`?\n", "ps", "scal", "web=2", "-a", "demo")
	s.golden(1, "", " !    demo runs no dynos of type wrker.\n !    Did you mean worker?\n", "ps", "wrker", "-a", "demo")
}

func TestPsOfAnAppWithoutDynosNamesTheNextStep(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/dynos": `[]`, "GET /apps/demo/formation": `[]`})
	s.golden(0, "", "demo has no dynos yet. Deploy it: git push hoist main\n", "ps", "-a", "demo")
	s.golden(0, "", "demo has no process types yet. Deploy it first: git push hoist main\n", "ps:type", "-a", "demo")
	s.answers["GET /apps/demo/formation"] = `[{"type":"clock"},{"type":"web"}]`
	s.golden(0, "", "demo has no dynos. `hoist ps:scale web=1` starts one.\n", "ps", "-a", "demo")
	s.answers["GET /apps/demo/formation"] = `[{"type":"clock"}]`
	s.golden(0, "", "demo has no dynos. `hoist ps:scale clock=1` starts one.\n", "ps", "-a", "demo")
}

func TestScaleInBothForms(t *testing.T) {
	s := newShell(t, map[string]string{
		"GET /apps/demo/formation":   `[{"type":"web","quantity":1,"size":"Basic"},{"type":"worker","quantity":1,"size":"Basic"}]`,
		"PATCH /apps/demo/formation": `[{"type":"web","quantity":2,"size":"Basic"},{"type":"worker","quantity":2,"size":"Eco"}]`,
	})
	for _, words := range [][]string{{"ps:scale"}, {"ps", "scale"}, {"scale"}} {
		s.golden(0, "", "Scaling dynos... done, now running web at 2:Basic, worker at 2:Eco\n",
			append(words, "-a", "demo", "web=2", "worker+1:Eco")...)
		want := `PATCH /apps/demo/formation {"updates":[{"type":"web","quantity":2},{"type":"worker","quantity":"+1","size":"Eco"}]}`
		if got := s.requests[len(s.requests)-1]; got != want {
			t.Errorf("asked %s", got)
		}
	}
	s.golden(1, "", " !    demo has no process type wrker.\n !    Did you mean worker?\n", "ps:scale", "wrker=1", "-a", "demo")
	s.golden(2, "", " !    \"web:2\" is not a scale. Give web=2, web+1, web-1 or web=2:Standard-1X.\n", "ps:scale", "web:2", "-a", "demo")
	s.golden(0, "web=1:Basic worker=1:Basic\n", "", "ps:scale", "-a", "demo")
}

func TestConfigSetTakesAnyValue(t *testing.T) {
	s := newShell(t, map[string]string{
		"PATCH /apps/demo/config-vars": `{}`,
		"GET /apps/demo/releases":      `[{"version":7}]`,
	})
	s.golden(0, "A:  b=c=d\nB:  one\ntwo\nC:\n", "Setting A, B, C and restarting demo... done, v7\n",
		"config:set", "-a", "demo", "A=b=c=d", "B=one\ntwo", "C=")
	var sent map[string]string
	_, body, _ := strings.Cut(s.requests[0], "config-vars ")
	json.Unmarshal([]byte(body), &sent)
	if d := cmp.Diff(map[string]string{"A": "b=c=d", "B": "one\ntwo", "C": ""}, sent); d != "" {
		t.Error(d)
	}
	s.golden(2, "", " !    \"A\" has no value. Config vars are set as NAME=value; `hoist config:unset A` removes one.\n", "config:set", "-a", "demo", "A")
}

func TestConfig(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/config-vars": `{"RAILS_ENV":"production","A":"it's <b>"}`})
	s.golden(0, "=== demo Config Vars\n\nA:          it's <b>\nRAILS_ENV:  production\n", "", "config", "-a", "demo")
	s.golden(0, "A='it'\\''s <b>'\nRAILS_ENV=production\n", "", "config", "-a", "demo", "--shell")
	s.golden(0, "{\n  \"A\": \"it's <b>\",\n  \"RAILS_ENV\": \"production\"\n}\n", "", "config", "-a", "demo", "--json")
	s.golden(0, "production\n", "", "config", "get", "RAILS_ENV", "-a", "demo")
	s.golden(1, "", " !    RAILS_EVN is not set on demo.\n !    Did you mean RAILS_ENV?\n", "config:get", "RAILS_EVN", "-a", "demo")
}

func TestReleases(t *testing.T) {
	list := `[{"id":"c","version":3,"description":"Deploy de63889","status":"failed","reason":"compile made no slug.\nv2 goes on.","user":{"email":"a@x"},"created_at":"2026-11-22T13:22:00Z","slug":{"id":"s"}},
		{"id":"b","version":2,"description":"Deploy 1234567","status":"succeeded","current":true,"user":{"email":"a@x"},"created_at":"2026-11-22T10:22:00Z","slug":{"id":"s"}},
		{"id":"a","version":1,"description":"Initial release","status":"succeeded","user":{"email":"a@x"},"created_at":"2026-11-12T13:22:00Z"}]`
	s := newShell(t, map[string]string{"GET /apps/demo/releases": list, "GET /apps/demo/slugs/s": `{"id":"s","checksum":"SHA256:c0ffee"}`})
	s.golden(0, `
=== Release v3

By:      a@x
Change:  Deploy de63889
Status:  failed
When:    2026/11/22 13:22:00 +0000 (~ 1m ago)
Reason:  compile made no slug.
         v2 goes on.
Slug:    s
         SHA256:c0ffee
`, "", "releases:info", "-a", "demo")
	s.golden(0, `
=== demo Releases - Current: v2

v3  Deploy de63889 failed: compile made no slug.  a@x  2026/11/22 13:22:00 +0000 (~ 1m ago)
v2  Deploy 1234567                                a@x  2026/11/22 10:22:00 +0000 (~ 3h ago)
v1  Initial release                               a@x  2026/11/12 13:22:00 +0000 (~ 10d ago)
`, "", "releases", "-a", "demo")
	s.golden(1, "", " !    demo has no earlier release to go back to. `hoist releases` lists them.\n", "rollback", "-a", "demo")
	s.golden(2, "", " !    \"latest\" is not a release. Releases are called v1, v2, …\n", "rollback", "latest", "-a", "demo")
	if code, out, _ := s.run("releases", "--json", "-a", "demo"); code != 0 || !json.Valid([]byte(out)) || !strings.Contains(out, `"current": true`) {
		t.Error(out)
	}
}

func TestDestroyWantsTheName(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo": `{"name":"demo"}`, "DELETE /apps/demo": `{}`})
	what := " !    This destroys demo with its code, config, releases and logs.\n"
	s.golden(2, "", what+" !    If you mean it, add --confirm demo.\n", "destroy", "demo")
	s.golden(1, "", " !    Confirmation \"dmo\" is not demo. Nothing was done.\n", "destroy", "demo", "--confirm", "dmo")
	if strings.Contains(strings.Join(s.requests, " "), "DELETE") {
		t.Fatal("it was destroyed")
	}
	s.golden(0, "", "Destroying demo... done\n", "destroy", "demo", "--confirm", "demo")
}

func TestErrorsNameTheNextStep(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps": `[{"name":"my-app"},{"name":"other"}]`})
	s.golden(1, "", " !    Couldn't find that app (my-ap).\n !    Did you mean my-app?\n", "config", "-a", "my-ap")
	s.golden(2, "", " !    Which app? Give --app APP, set $HOIST_APP, or run `hoist git:remote --app APP` in its repository.\n", "ps")
	s.golden(2, "", " !    confg is not a hoist command.\n !    Did you mean `hoist config`?\n !    See `hoist help` for all commands.\n", "confg")
	s.golden(2, "", " !    unknown flag: --tial\n !    Did you mean --tail?\n !    See `hoist help logs`.\n", "logs", "--tial")
	s.golden(2, "", " !    aps is not a hoist command.\n !    Did you mean `hoist apps`?\n !    See `hoist help` for all commands.\n", "aps")
	s.golden(2, "", " !    apii is not a hoist command.\n !    Did you mean `hoist api`?\n !    See `hoist help` for all commands.\n", "apii")
	s.golden(2, "", " !    api statsu is not a hoist command.\n !    Did you mean `hoist api status`?\n", "api", "statsu")
	s.golden(2, "", " !    Usage: hoist api status [-q]\n", "api", "status", "x")
	s.golden(0, "Show it.\n\nUsage: hoist api status [-q]\n\n      --data DIR   DIR of all data\n  -h, --help       help for status\n", "", "help", "api", "status")
	s.golden(2, "", " !    pss is not a hoist command.\n !    Did you mean `hoist ps`?\n !    See `hoist help` for all commands.\n", "help", "pss")
	s.golden(2, "", " !    config st is not a hoist command.\n !    Did you mean `hoist config:set`?\n", "config", "st", "A=1", "-a", "other")
	s.golden(2, "", " !    --num is a number, not \"x\".\n !    See `hoist help logs`.\n", "logs", "-n", "x")
	s.golden(2, "", " !    Give --app or --remote, not both.\n", "ps", "-a", "other", "-r", "hoist")
	s.golden(2, "", " !    There is no source web, only app (what dynos write) and heroku (router and platform).\n", "logs", "-s", "web", "-a", "other")
	s.golden(2, "", " !    There is no completion for ksh, only for bash, zsh, fish and powershell.\n", "completion", "ksh")
	s.golden(2, "", " !    Usage: hoist rename NEW_NAME\n !    Example: hoist rename my-new-name --app my-app\n", "rename")
	s.env["HOIST_API_KEY"] = "wrong"
	s.golden(1, "", " !    Invalid credentials provided.\n !    Run `hoist login`.\n", "whoami")
	delete(s.env, "HOIST_API_KEY")
	s.golden(1, "", " !    You are not logged in. Run `hoist login`.\n", "whoami")
	s.env["HOIST_HOST"] = "http://127.0.0.1:1"
	if code, _, errs := s.run("whoami"); code != 1 || !strings.Contains(errs, "Can't reach the platform at http://127.0.0.1:1") {
		t.Error(code, errs)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "This port is for cats.\nMeow.", 400) }))
	defer page.Close()
	s.env["HOIST_HOST"] = page.URL
	s.golden(1, "", " !    "+strings.TrimPrefix(page.URL, "http://")+" answered 400 Bad Request: This port is for cats. Is this the address of a hoist platform?\n", "whoami")
	delete(s.env, "HOIST_HOST")
	s.golden(1, "", " !    You are not logged in to any platform. Run `hoist login HOST`.\n", "whoami")
}

func TestLoginIsRememberedForItsOwnerOnly(t *testing.T) {
	s := newShell(t, map[string]string{"GET /account": `{"email":"a@x"}`, "DELETE /oauth/authorizations/~": `{}`})
	host := s.env["HOIST_HOST"]
	delete(s.env, "HOIST_HOST")
	delete(s.env, "HOIST_API_KEY")
	s.golden(1, "", " !    The platform does not know this token.\n", "login", "--host", host, "--token", "wrong")
	s.golden(0, "", "Logged in to "+strings.TrimPrefix(host, "http://")+" as a@x\n", "login", "--host", host, "--token", "token")
	s.golden(0, "a@x\n", "", "whoami")
	st, err := os.Stat(filepath.Join(s.env["HOME"], ".config/hoist/credentials"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	s.golden(0, "", "Logged out of "+strings.TrimPrefix(host, "http://")+"\n", "logout")
	s.golden(1, "", " !    You are not logged in. Run `hoist login`.\n", "whoami")
	s.golden(1, "", " !    You are not logged in to "+strings.TrimPrefix(host, "http://")+".\n", "logout")
}

// What waits for a person's answer ends with ^C, and leaves the terminal as it was.
func TestPromptsEndWithControlC(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo": `{"name":"demo"}`})
	for prompt, line := range map[string][]string{
		"Email: ":    {"login", s.env["HOIST_HOST"]},
		"Password: ": {"login", s.env["HOIST_HOST"], "-e", "a@x"},
		"> ":         {"destroy", "demo"},
	} {
		person, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		before, err := term.GetState(int(tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := &CLI{In: tty, Out: tty, Err: tty, Env: func(n string) string { return s.env[n] }, Now: time.Now, Dir: s.dir}
		root := &cobra.Command{Use: "hoist"}
		root.AddCommand(c.Commands()...)
		done := make(chan int, 1)
		go func() { done <- c.Execute(ctx, root, line) }()
		seen := ""
		person.SetReadDeadline(time.Now().Add(20 * time.Second))
		for buf := make([]byte, 1000); !strings.HasSuffix(seen, prompt); {
			n, err := person.Read(buf)
			if err != nil {
				t.Fatalf("%v: %v after %q", line, err, seen)
			}
			seen += string(buf[:n])
		}
		time.Sleep(50 * time.Millisecond) // until it reads
		cancel()                          // as the program does at SIGINT
		select {
		case code := <-done:
			if code != 130 {
				t.Errorf("%v: exit code %d", line, code)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%v does not end", line)
		}
		if after, err := term.GetState(int(tty.Fd())); err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("%v left the terminal otherwise: %v", line, err)
		}
		person.Close() // ends what still reads
	}
}

func TestTheAppComesFromTheGitRemote(t *testing.T) {
	s := newShell(t, map[string]string{"GET /apps/demo/config-vars": `{}`})
	git := func(args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Dir = s.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatal(string(out))
		}
	}
	git("init", "-q")
	git("remote", "add", "origin", "https://github.com/someone/thing.git")
	if code, _, _ := s.run("config"); code != 2 {
		t.Error("found an app at GitHub")
	}
	git("remote", "add", "staging", "ssh://git@127.0.0.1:2222/demo.git")
	s.golden(0, "", "demo has no config vars. `hoist config:set NAME=value` sets one.\n", "config")
	git("remote", "add", "production", "git@127.0.0.1:shop.git")
	s.golden(2, "", " !    This repository is of several apps: demo (remote staging), shop (remote production).\n !    Choose one with --app or --remote.\n", "config")
	s.golden(0, "", "demo has no config vars. `hoist config:set NAME=value` sets one.\n", "config", "--remote", "staging")
	s.golden(1, "", " !    There is no git remote stging that is an app.\n !    Did you mean --remote staging?\n", "config", "-r", "stging")
	git("remote", "add", "hoist", "http://git.127.0.0.1:8080/demo.git")
	s.golden(0, "", "demo has no config vars. `hoist config:set NAME=value` sets one.\n", "config")
}

func TestRemotesFollowTheirApps(t *testing.T) {
	s := newShell(t, map[string]string{
		"POST /apps":        `{"name":"demo","web_url":"http://demo.127.0.0.1/","git_url":"http://git.127.0.0.1/demo.git"}`,
		"GET /apps/demo":    `{"name":"demo"}`,
		"PATCH /apps/demo":  `{"name":"shop","web_url":"http://shop.127.0.0.1/","git_url":"http://git.127.0.0.1/shop.git","ssh_git_url":"ssh://git@127.0.0.1:2222/shop.git"}`,
		"GET /apps/shop":    `{"name":"shop"}`,
		"DELETE /apps/shop": `{}`,
	})
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(string(out))
		}
		return string(out)
	}
	git("init", "-q")
	git("remote", "add", "hoist", "http://git.127.0.0.1/other.git")
	git("remote", "add", "origin", "https://github.com/demo.git")
	s.golden(0, "http://demo.127.0.0.1/ | http://git.127.0.0.1/demo.git\n", "Creating demo... done\n"+
		" !    The git remote hoist is http://git.127.0.0.1/other.git, and stays so.\n"+
		" !    Make it lead to the new app: hoist git:remote demo -r hoist\n", "create", "demo")
	code, _, errs := s.run("create", "demo", "-r", "prod", "-b", "nope")
	if code != 1 || !strings.Contains(errs, "set git remote prod to") || !strings.Contains(errs, "The app demo is there all the same.") {
		t.Errorf("%d %s", code, errs)
	}
	git("remote", "add", "ssh", "ssh://git@127.0.0.1:2222/demo.git")
	if code, _, errs := s.run("rename", "shop", "-a", "demo"); code != 0 {
		t.Error(errs)
	}
	want := "hoist\thttp://git.127.0.0.1/other.git\norigin\thttps://github.com/demo.git\n" +
		"prod\thttp://git.127.0.0.1/shop.git\nssh\tssh://git@127.0.0.1:2222/shop.git\n"
	got := ""
	for line := range strings.Lines(git("remote", "-v")) {
		if url, ok := strings.CutSuffix(line, " (push)\n"); ok {
			got += url + "\n"
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	s.golden(0, "", "Destroying shop... done\nremoved git remote prod\nremoved git remote ssh\n", "destroy", "shop", "-c", "shop")
	if got := git("remote"); got != "hoist\norigin\n" {
		t.Errorf("%q", got)
	}
}

func TestCompletionNamesNoFilesWhereNoneAreMeant(t *testing.T) {
	s := newShell(t, map[string]string{
		"GET /apps/demo/formation":            `[{"type":"web"},{"type":"worker"}]`,
		"GET /apps/demo/available-dyno-sizes": `[{"name":"Eco"},{"name":"Basic"}]`,
	})
	const noFiles = ":4\n"
	for _, c := range []struct {
		words string
		want  string
	}{
		{"ps:type -a demo ", "web=\nworker=\n:6\n"},
		{"ps:type -a demo web=", "web=Eco\nweb=Basic\n" + noFiles},
		{"run -a demo --size ", "Eco\nBasic\n" + noFiles},
		{"releases ", noFiles},
		{"config:set -a demo --remote ", noFiles},
		{"create --stack ", noFiles},
		{"keys:add ", ":0\n"},
		{"login --ca ", ":0\n"},
	} {
		if _, out, _ := s.run(append([]string{"__completeNoDesc"}, strings.Split(c.words, " ")...)...); out != c.want {
			t.Errorf("%q: %q, want %q", c.words, out, c.want)
		}
	}
}

// As paths they would name something else: the app itself, or all its dynos.
func TestWhatIsNoNameIsNotSent(t *testing.T) {
	s := newShell(t, nil)
	for _, line := range []string{"ps:restart ..", "ps:restart .", "access:remove ..", "domains:remove ..", "domains:remove .", "info -a ..", "info -a ."} {
		words := strings.Fields(line)
		if !strings.Contains(line, "-a") {
			words = append(words, "-a", "demo")
		}
		if code, _, errs := s.run(words...); code != 2 || !strings.Contains(errs, "not a name") {
			t.Errorf("%s: %d %q", line, code, errs)
		}
	}
	if code, _, errs := s.run("domains:remove", "", "-a", "demo"); code != 2 {
		t.Errorf("%d %q", code, errs)
	}
	if len(s.requests) > 0 {
		t.Errorf("sent: %q", s.requests)
	}
}

func TestGitGetsTheLoginForItsPlatformOnly(t *testing.T) {
	creds := credentials{Platforms: map[string]platform{
		"https://api.paas.example": {Token: "one"}, "http://api.localhost:8080": {Token: "two"},
	}}
	for question, want := range map[string]string{
		"protocol=https\nhost=git.paas.example\n\n":        "one",
		"protocol=http\nhost=git.localhost:8080\npath=x\n": "two",
		"protocol=http\nhost=git.paas.example\n":           "", // would go over the wire unencrypted
		"protocol=https\nhost=github.com\n":                "",
		"protocol=https\nhost=xgit.paas.example\n":         "",
		"protocol=http\nhost=git.localhost:18080\n":        "", // another platform
		"": "",
	} {
		if got := gitToken(creds, strings.NewReader(question)); got != want {
			t.Errorf("%q: %q", question, got)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	c := New()
	seen := map[string]bool{}
	for _, cmd := range c.Commands() {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !strings.HasPrefix(cmd.Example, "$ hoist ") || cmd.GroupID == "" {
			t.Errorf("%s: %q %q", cmd.Name(), cmd.Short, cmd.Example)
		}
		for _, name := range append(cmd.Aliases, cmd.Name()) {
			if seen[name] {
				t.Errorf("two commands are called %s", name)
			}
			seen[name] = true
		}
	}
}
