package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
)

// selfWorld is a platform that can run on itself: the app "hoist" is there,
// and people's apps, which serve, speak WebSocket and count in their logs.
type selfWorld struct {
	*faultWorld
	hoistApp *faultApp
	starter  []string // the environment of who bootstraps, if not Ada's
}

// newSelfWorld starts a platform with n apps at stage 0.
func newSelfWorld(t *testing.T, n int, settings ...string) *selfWorld {
	t.Helper()
	return newSelfWorldBy(t, (*platform).start, n, settings...)
}

func newSelfWorldBy(t *testing.T, start func(*platform) error, n int, settings ...string) *selfWorld {
	t.Helper()
	w := &selfWorld{faultWorld: newFaultWorldBy(t, start, 0, settings...)}
	t.Cleanup(func() {
		if t.Failed() {
			w.tell(t)
		}
	})
	for range n {
		a := w.newApp(t)
		for name, text := range selfAppFiles {
			if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	eachApp(t, w.apps, func(a *faultApp) error { return a.mustPush() })
	return w
}

var selfAppFiles = map[string]string{
	"Procfile": `web: node web.js
worker: id=$(cat /proc/sys/kernel/random/uuid); i=0; trap 'echo "last $id $i"; exit 0' TERM; while :; do i=$((i+1)); echo "count $id $i"; sleep 0.2; done
`,
	// WebSockets (RFC 6455) as far as an echo of short messages needs them. On
	// SIGTERM those that are open go on.
	"web.js": `const version = Number(require('fs').readFileSync('version'))
const server = require('http').createServer((q, s) => s.end(JSON.stringify({version, config: Number(process.env.N || 0)})))
server.on('upgrade', (q, s) => {
  const key = require('crypto').createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  s.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + key + '\r\n\r\n')
  s.on('error', () => {})
  let b = Buffer.alloc(0)
  s.on('data', d => {
    b = Buffer.concat([b, d])
    while (b.length >= 6 && b.length >= 6 + (b[1] & 127)) {
      const n = b[1] & 127, text = Buffer.from(b.subarray(6, 6 + n))
      for (let i = 0; i < n; i++) text[i] ^= b[2 + i % 4]
      s.write(Buffer.concat([Buffer.from([b[0], n]), text]))
      if ((b[0] & 15) === 8) s.end()
      b = b.subarray(6 + n)
    }
  })
})
process.on('SIGTERM', () => server.close(() => process.exit(0)))
server.listen(process.env.PORT)
`,
}

// onItself starts a platform that runs on itself.
func onItself(t *testing.T, n int, settings ...string) *selfWorld {
	t.Helper()
	w := newSelfWorld(t, n, settings...)
	w.makeSystemApp(t)
	if out, err := w.pushProgram(goodProgram(t, 0), nil); err != nil {
		t.Fatalf("push of hoist: %v\n%s", err, out)
	}
	w.takeOver(t)
	return w
}

// makeSystemApp makes the app hoist, with a working copy that holds the
// repository's Procfile and bin/compile, and is to get a program that is compiled already.
func (w *selfWorld) makeSystemApp(t *testing.T) {
	t.Helper()
	if _, err := w.hoist("seed", "system", w.Email); err != nil {
		t.Fatal(err)
	}
	w.hoistApp = w.systemApp(t, filepath.Join(w.Home, hoist.SystemApp))
}

// systemApp is the app hoist with a directory for its source, which becomes a git repository.
func (w *selfWorld) systemApp(t *testing.T, dir string) *faultApp {
	t.Helper()
	a := &faultApp{w: w.faultWorld, Name: hoist.SystemApp, dir: dir}
	os.MkdirAll(filepath.Join(dir, "bin"), 0o755)
	for _, name := range []string{"Procfile", "bin/compile"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"config", "core.compression", "1"}} {
		if out, err := a.git(nil, args...); err != nil {
			t.Fatal(err, out)
		}
	}
	return a
}

// pushProgram pushes a release of the platform.
func (w *selfWorld) pushProgram(program string, heard func(string)) (string, error) {
	if err := w.hoistApp.takeProgram(program); err != nil {
		return "", err
	}
	return w.hoistApp.push(w.hoistApp.sshURL(), heard)
}

// takeProgram puts a program into the app's source.
func (a *faultApp) takeProgram(program string) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	file := filepath.Join(a.dir, "bin/hoist")
	os.Remove(file)
	return os.WriteFile(file, text, 0o755)
}

// takeOver scales the app hoist up, and waits until its dynos do all work.
func (w *selfWorld) takeOver(t *testing.T) {
	t.Helper()
	begun := time.Now()
	args := []string{"ps:scale"}
	for _, c := range hoist.Components {
		args = append(args, c+"=1")
	}
	w.must(t, args...)
	if err := w.awaitSettled(90*time.Second, 0); err != nil {
		t.Fatalf("the dynos do not take over: %v", err)
	}
	t.Logf("taken over after %s", time.Since(begun).Round(100*time.Millisecond))
}

// compilesItself has a one-off dyno of hoist compile what is in it: the slug must be
// that of the release it is of.
func (w *selfWorld) compilesItself(t *testing.T, flags ...string) {
	t.Helper()
	release, err := w.currentRelease()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	out, err := w.hoistApp.cli(t.Context(), append(append([]string{"run"}, flags...), "bin/compile", ".")...).CombinedOutput()
	t.Logf("bin/compile . in %s, v%d is %s", time.Since(begun).Round(100*time.Millisecond), release.Version, release.Slug)
	if err != nil || release.Slug == "" || !strings.Contains(string(out), "SHA256:"+release.Slug) {
		t.Errorf("%v\n%s", err, out)
	}
}

// must runs a command of the command line about the app hoist.
func (w *selfWorld) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.hoistApp.cli(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("hoist %s -a hoist: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// status asks the seed, without the program in between.
func (w *selfWorld) status() (seed.Status, error) {
	settings, err := seed.Saved(w.Dir)
	if err != nil {
		return seed.Status{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return seed.AskStatus(ctx, settings)
}

// awaitSettled waits until dynos of one release, not before the given one, do
// all the platform's work, and nothing else does but finish what it had begun.
func (w *selfWorld) awaitSettled(limit time.Duration, version int) error {
	return eventually(limit, func() error { return w.settled(version) })
}

func (w *selfWorld) settled(version int) error {
	st, err := w.status()
	if err != nil {
		return err
	}
	y := st.System
	switch {
	case y == nil:
		return errors.New("the seed knows no system app")
	case y.Version < version:
		return fmt.Errorf("release v%d shall run, not v%d; the seed says %q", y.Version, version, y.Failed)
	case !y.Settled:
		return fmt.Errorf("not settled at v%d: %s", y.Version, showDynos(y))
	case !st.Ready:
		return fmt.Errorf("the seed waits for %v", st.WaitsFor)
	}
	for _, task := range st.Tasks {
		if component(task.Name) && len(task.By) == 0 {
			return fmt.Errorf("%s is still in the seed: %s", task.Name, showDynos(y))
		}
	}
	for _, d := range y.Dynos { // after a rollback by the seed they may be of an earlier release with the same slug
		if d.State != string(hoist.DynoUp) && d.State != string(hoist.DynoStopping) { // what is under way there may finish
			return fmt.Errorf("v%d shall run: %s", y.Version, showDynos(y))
		}
	}
	return nil
}

func component(name string) bool {
	for _, c := range hoist.Components {
		if c == name {
			return true
		}
	}
	return false
}

func showDynos(y *seed.SystemStatus) string {
	var list []string
	for _, d := range y.Dynos {
		list = append(list, fmt.Sprintf("%s v%d %s (pid %d)", d.Name, d.Version, d.State, d.PID))
	}
	if y.Failed != "" {
		list = append(list, y.Failed)
	}
	return strings.Join(list, ", ")
}

// systemRelease is a release of the app hoist.
type systemRelease struct {
	Version     int
	Status      string
	Description string
	Slug        string
}

// currentRelease is what the database says that runs.
func (w *selfWorld) currentRelease() (systemRelease, error) {
	var list []systemRelease
	err := w.query(&list, `SELECT r.version, r.status, r.description, coalesce(s.sha256, '') AS slug FROM apps a
		JOIN releases r ON r.id = a.current_release_id LEFT JOIN slugs s ON s.id = r.slug_id WHERE a.name = $1`, hoist.SystemApp)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%d current releases", len(list))
	}
	if err != nil {
		return systemRelease{}, err
	}
	return list[0], nil
}

func (w *selfWorld) releases() (list []systemRelease, err error) {
	err = w.query(&list, `SELECT r.version, r.status, r.description, coalesce(s.sha256, '') AS slug FROM apps a
		JOIN releases r ON r.app_id = a.id LEFT JOIN slugs s ON s.id = r.slug_id WHERE a.name = $1 ORDER BY r.version`, hoist.SystemApp)
	return list, err
}

// tell shows what a failed test leaves.
func (w *selfWorld) tell(t *testing.T) {
	if out, err := w.hoist("seed", "status"); err == nil {
		t.Logf("seed status:\n%s", out)
	}
	if list, err := w.releases(); err == nil {
		t.Logf("releases: %+v", list)
	}
	if w.hoistApp == nil {
		return
	}
	var lines []string
	out, err := w.hoist("seed", "logs", "-n", "2000")
	if err != nil {
		return
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "app=hoist") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	t.Logf("the seed's log about its dynos:\n%s", strings.Join(lines[max(0, len(lines)-60):], ""))
	if out, err := w.hoistApp.cli(context.Background(), "logs", "-n", "400").CombinedOutput(); err == nil {
		os.WriteFile(filepath.Join(os.TempDir(), "hoist-self-"+t.Name()+".log"), out, 0o600)
		t.Logf("the log of hoist is in %s", filepath.Join(os.TempDir(), "hoist-self-"+t.Name()+".log"))
	}
}
