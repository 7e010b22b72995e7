package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/seed"
	"github.com/jackc/pgx/v5"
)

// faultWorld is a platform of its own that faults are done to, and what it
// has acknowledged so far.
type faultWorld struct {
	*platform
	apps  []*faultApp
	procs map[string]*process // components that run outside the seed
	env   map[string][]string // of these components, over what the seed says
}

// newFaultWorld starts a platform with n small apps that serve. It is taken down with the test.
func newFaultWorld(t *testing.T, n int, settings ...string) *faultWorld {
	t.Helper()
	return newFaultWorldBy(t, (*platform).start, n, settings...)
}

func newFaultWorldBy(t *testing.T, start func(*platform) error, n int, settings ...string) *faultWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("faults take minutes")
	}
	p, err := newPlatformBy(start, append([]string{"HOIST_BOOT_TIMEOUT=15s", "HOIST_STOP_GRACE=5s"}, settings...)...)
	w := &faultWorld{platform: p, procs: map[string]*process{}, env: map[string][]string{}}
	t.Cleanup(func() {
		if t.Failed() {
			w.showLogs(t)
		}
		for _, c := range w.procs {
			c.kill()
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		w.newApp(t)
	}
	eachApp(t, w.apps, func(a *faultApp) error { return a.mustPush() })
	return w
}

// showLogs copies the logs of a failed test to a directory that stays.
func (w *faultWorld) showLogs(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "hoist-fault-") // not where the platform is
	if err != nil {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(w.Dir, "*.log"))
	more, _ := filepath.Glob(filepath.Join(w.Dir, "*", "*.log"))
	for _, name := range append(logs, more...) {
		if text, err := os.ReadFile(name); err == nil {
			os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o600)
		}
	}
	t.Logf("the platform's logs are in %s", dir)
}

// query asks the platform's database, as its owner.
func (w *faultWorld) query(into any, sql string, args ...any) error {
	return w.asOwner(func(ctx context.Context, db *pgx.Conn) error {
		// One row, one column: JSON.
		var answer []byte
		if err := db.QueryRow(ctx, `SELECT coalesce(json_agg(q), '[]')::text FROM (`+sql+`) q`, args...).Scan(&answer); err != nil {
			return err
		}
		return json.Unmarshal(answer, into)
	})
}

// asOwner does something to the platform's database.
func (w *faultWorld) asOwner(do func(ctx context.Context, db *pgx.Conn) error) error {
	settings, err := seed.Saved(w.Dir)
	if err != nil {
		return err
	}
	url, err := seed.OwnerURL(settings)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(ctx, conn)
}

// process is a component that runs outside the seed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// kill ends it as a crash would, and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// run starts a component as a process of its own.
func (w *faultWorld) run(name string) error {
	args := append([]string{"seed", "exec", name, "env"}, w.env[name]...)
	cmd := exec.Command(hoistBin, append(args, hoistBin, name)...)
	cmd.Env = w.seedEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(w.Dir, "alone-"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd, make(chan struct{})}
	go func() { cmd.Wait(); close(p.done) }()
	w.procs[name] = p
	return nil
}

// awaitReady waits until a component that was started after since has all it needs.
func (w *faultWorld) awaitReady(name string, since time.Time) error {
	return eventually(time.Minute, func() error {
		var ready []struct{ N int }
		err := w.query(&ready, `SELECT 1 AS n FROM components WHERE type = $1 AND started_at > $2 AND waits_for = ''`, name, since)
		if err == nil && len(ready) == 0 {
			err = fmt.Errorf("%s is not ready", name)
		}
		return err
	})
}

// apart stops the seed and starts it with the ground only, and the components
// beside it as processes of their own, in any order: before the ground, if that comes last.
func (w *faultWorld) apart(t *testing.T, groundLast bool) {
	t.Helper()
	if _, err := w.hoist("seed", "stop"); err != nil {
		t.Fatal(err)
	}
	w.settings = append(w.settings, "HOIST_COMPONENTS=,")
	since := time.Now()
	parts := slices.Clone(componentNames)
	rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	if groundLast {
		parts = append(parts, "ground")
	} else {
		parts = slices.Insert(parts, 0, "ground")
	}
	t.Logf("the parts are started in the order %v", parts)
	for _, name := range parts {
		start := func() error { return w.run(name) }
		if name == "ground" {
			start = w.start
		}
		if groundLast {
			time.Sleep(rand.N(2 * time.Second)) // some have begun to wait
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range componentNames {
		if err := w.awaitReady(name, since.Add(-time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

var componentNames = []string{"git", "api", "compile", "runtime", "router", "logs"}

// faultApp is an app with a web and a worker, and what was acknowledged of it.
type faultApp struct {
	w    *faultWorld
	Name string
	dir  string
	as   []string // the environment of who works on it, if not Ada's

	mu      sync.Mutex
	version int      // of the source, as last acknowledged
	commits []string // acknowledged
	config  int      // the config var N, as last acknowledged
	changes int      // config changes that may have been made
}

func (w *faultWorld) newApp(t *testing.T) *faultApp {
	t.Helper()
	a := &faultApp{w: w, Name: randomName("fault")}
	if err := eventually(30*time.Second, func() error {
		return w.call("POST", "/apps", w.Token, fmt.Appendf(nil, `{"name":%q}`, a.Name), nil)
	}); err != nil {
		t.Fatal(err)
	}
	a.dir = filepath.Join(w.Home, a.Name)
	for name, text := range map[string]string{
		"Procfile":     "web: node web.js\nworker: trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo count $i; sleep 0.2; done\n",
		"package.json": `{"name": "fault", "version": "1.0.0"}`,
		"web.js": `const version = Number(require('fs').readFileSync('version'))
process.on('SIGTERM', () => process.exit(0))
require('http').createServer((q, s) => s.end(JSON.stringify({version, config: Number(process.env.N || 0)}))).listen(process.env.PORT)
`,
	} {
		os.MkdirAll(a.dir, 0o755)
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := a.git(nil, "init", "-q"); err != nil {
		t.Fatal(err, out)
	}
	w.apps = append(w.apps, a)
	return a
}

func (w *faultWorld) environ() []string {
	// Without the recorder, and with the platform's own CA for attached dynos.
	return append(w.userEnviron(), fmt.Sprintf("HOIST_HOST=http://localhost:%d", w.HTTP),
		"SSL_CERT_FILE="+w.caFile(), "GIT_SSL_CAINFO="+w.caFile())
}

func (a *faultApp) environ() []string {
	if a.as != nil {
		return a.as
	}
	return a.w.environ()
}

// git runs git in the app's directory; heard is told all output so far.
func (a *faultApp) git(heard func(out string), args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = a.dir, a.environ(), 10*time.Second
	out := &heardBuffer{heard: heard}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	return out.String(), err
}

type heardBuffer struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	heard func(string)
}

func (b *heardBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p)
	if b.heard != nil {
		b.heard(b.buf.String())
	}
	return len(p), nil
}

func (b *heardBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// edit commits a new version of the source, and returns it.
func (a *faultApp) edit() (version int, commit string, err error) {
	text, _ := os.ReadFile(filepath.Join(a.dir, "version"))
	version, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	version++
	if err := os.WriteFile(filepath.Join(a.dir, "version"), fmt.Appendln(nil, version), 0o644); err != nil {
		return 0, "", err
	}
	a.git(nil, "add", "-A")
	if out, err := a.git(nil, "commit", "-q", "-m", fmt.Sprint("version ", version)); err != nil {
		return 0, "", fmt.Errorf("%w: %s", err, out)
	}
	commit, err = a.git(nil, "rev-parse", "HEAD")
	return version, strings.TrimSpace(commit), err
}

func (a *faultApp) sshURL() string { return a.w.userEnv()["SSH_URL"] + "/" + a.Name + ".git" }

// push commits a new version and pushes it once.
func (a *faultApp) push(url string, heard func(string)) (string, error) {
	version, commit, err := a.edit()
	if err != nil {
		return "", err
	}
	out, err := a.git(heard, "push", url, "main")
	if err != nil {
		return out, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version, a.commits = version, append(a.commits, commit)
	return out, nil
}

// pushAgain pushes what a failed push did not.
func (a *faultApp) pushAgain() (string, error) {
	out, err := a.git(nil, "push", a.sshURL(), "main")
	if err != nil {
		return out, err
	}
	commit, err := a.git(nil, "rev-parse", "HEAD")
	if err != nil {
		return out, err
	}
	text, err := os.ReadFile(filepath.Join(a.dir, "version"))
	if err != nil {
		return out, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	a.commits = append(a.commits, strings.TrimSpace(commit))
	return out, nil
}

func (a *faultApp) mustPush() error {
	out, err := a.push(a.sshURL(), nil)
	if err != nil {
		return fmt.Errorf("push to %s: %w\n%s", a.Name, err, out)
	}
	return nil
}

// set changes a config var once.
func (a *faultApp) set() error {
	a.mu.Lock()
	a.changes++
	n := a.changes
	a.mu.Unlock()
	err := a.w.call("PATCH", "/apps/"+a.Name+"/config-vars", a.w.Token, fmt.Appendf(nil, `{"N":"%d"}`, n), nil)
	if err == nil {
		a.mu.Lock()
		a.config = n
		a.mu.Unlock()
	}
	return err
}

func (a *faultApp) mustSet() error { return eventually(30*time.Second, a.set) }

// scale sets the number of a type's dynos.
func (a *faultApp) scale(process string, n int) error {
	return eventually(30*time.Second, func() error {
		return a.w.call("PATCH", "/apps/"+a.Name+"/formation/"+process, a.w.Token, fmt.Appendf(nil, `{"quantity":%d}`, n), nil)
	})
}

// cli is the command line, about this app.
func (a *faultApp) cli(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, hoistBin, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = append(a.environ(), "HOIST_APP="+a.Name), a.dir, time.Second
	return cmd
}

// eachApp does something for several apps at once.
func eachApp(t *testing.T, apps []*faultApp, do func(a *faultApp) error) {
	t.Helper()
	errs := make(chan error)
	for _, a := range apps {
		go func() { errs <- do(a) }()
	}
	for range apps {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// eventually tries until there is no error, and returns the last.
func eventually(limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// counts are the numbers that the app's worker has counted to, in a log.
func counts(log string) []int {
	var list []int
	for line := range strings.Lines(log) {
		if _, n, ok := strings.Cut(line, "]: count "); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(n)); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// gapless says what is missing in numbers, doubled or out of order.
func gapless(list []int) error {
	for i, n := range list {
		if i > 0 && n != list[i-1]+1 {
			return fmt.Errorf("after %d comes %d, of %v", list[i-1], n, list)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("nothing was logged")
	}
	return nil
}
