package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
)

var thorough = flag.Bool("thorough", false, "have the platform's own source compiled by `hoist run`, too, which takes minutes")

// A bootstrap whose first stage has no time to prove itself, as on a starved machine, can be run again.
func TestSelfBootstrapIsTriedAgain(t *testing.T) {
	w := newSelfWorld(t, 1, "HOIST_PROOF_LIMIT=10ms")
	t.Cleanup(func() { forgetHost(w.SSH) })
	source := w.compiledSource(t)
	out, err := w.bootstrap(t, source.dir, "", nil)
	if err == nil || !strings.Contains(out, "did not prove itself") {
		t.Fatalf("it had no time, and ended with %v:\n%s", err, out)
	}
	if err := w.kept(); err != nil {
		t.Error(err)
	}
	w.settings = append(w.settings, "HOIST_PROOF_LIMIT=") // else the next start remembers it
	if err := w.powerCut(false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.powerOn(); err != nil {
		t.Fatal(err)
	}
	out, err = w.bootstrap(t, source.dir, "", nil)
	if err != nil || !strings.Contains(out, "trying again") || !strings.Contains(out, "stage 2 = stage 3, bit for bit") {
		t.Fatalf("again, it ended with %v:\n%s", err, lastLines(out, 60))
	}
	w.hoistApp = &faultApp{w: w.faultWorld, Name: source.Name, dir: filepath.Join(w.Home, "hoist-hoist")}
	w.invariants(t)
}

// hoist bootstrap moves the platform from stage 0 to stage 3 on its own
// source, while an app is asked; stopped in the middle and begun again, it goes on. Then its
// source is changed and pushed.
func TestSelfBootstrap(t *testing.T) {
	mirrors := buildMirrors(t)
	// Go's compiler takes a sixth less of the processor if it collects its garbage less often.
	w := newSelfWorld(t, 1, append(mirrors, "HOIST_BUILD_TIMEOUT=30m", "HOIST_BUILD_ENV_GOGC=400")...)
	source := w.sourceRepository(t)
	t.Cleanup(func() { forgetHost(w.SSH) })
	l := startLoad(w.faultWorld, w.apps)
	begun := time.Now()

	out, err := w.bootstrap(t, source, "Stage 2: ", func(p *os.Process) {
		time.Sleep(10 * time.Second)
		p.Signal(syscall.SIGINT)
	})
	if err == nil {
		t.Fatalf("it was stopped, and ended well:\n%s", out)
	}
	if !strings.Contains(out, "Taking over from the seed") {
		t.Fatalf("it did not get to stage 2: %v\n%s", err, out)
	}
	t.Logf("stopped after %s:\n%s", time.Since(begun).Round(time.Second), headings(out))
	if err := w.awaitSettled(time.Minute, 0); err != nil {
		t.Errorf("stopped in the middle, the platform does not work: %v", err)
	}
	out, err = w.bootstrap(t, source, "", nil)
	t.Logf("again, all in all %s:\n%s", time.Since(begun).Round(time.Second), headings(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLines(out, 60))
	}
	for _, want := range []string{`(?s)Stage 1: [^\n]*\n\s+done before: v\d+ by the seed's compile`, `stage 2 = stage 3, bit for bit`, `the seed's own program, built on the host, is the same`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("it does not say %q:\n%s", want, lastLines(out, 60))
		}
	}
	w.checkStages(t)
	w.pushChanged(t)
	l.mustBeWhole(t, time.Time{}, time.Time{})
	if !*thorough {
		return
	}
	flags := []string{"--size=performance-m"}
	for _, setting := range mirrors {
		flags = append(flags, "-e", strings.TrimPrefix(setting, "HOIST_BUILD_ENV_"))
	}
	w.compilesItself(t, flags...)
}

// pushChanged changes the source in the working copy that bootstrap left, and pushes it. What
// runs then must be what the host makes of it.
func (w *selfWorld) pushChanged(t *testing.T) {
	t.Helper()
	w.hoistApp = &faultApp{w: w.faultWorld, Name: hoist.SystemApp, dir: filepath.Join(w.Home, "hoist-hoist")}
	c := goodChange(1)
	file := filepath.Join(w.hoistApp.dir, c.file)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	version, err := w.nextVersion()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	out, err := w.hoistApp.push(w.hoistApp.sshURL(), nil)
	if err != nil || !saysItRuns(out, version) {
		t.Fatalf("push of hoist: %v\n%s", err, out)
	}
	t.Logf("a changed source was pushed, compiled and ran after %s", time.Since(begun).Round(100*time.Millisecond))
	if err := w.awaitSettled(time.Minute, version); err != nil {
		t.Error(err)
	}
	if err := eventually(time.Minute, func() error { return w.runs(goodProgram(t, 1)) }); err != nil {
		t.Error(err)
	}
}

// checkStages compares what bootstrap noted with the program that was built here.
func (w *selfWorld) checkStages(t *testing.T) {
	t.Helper()
	stages, err := seed.Stages(seed.Settings{DataDir: w.Dir})
	if err != nil || len(stages) != 3 {
		t.Errorf("%d stages, %v", len(stages), err)
		return
	}
	own, err := fileSHA256(hoistBin)
	if err != nil {
		t.Error(err)
	}
	for i, s := range stages {
		t.Logf("stage %d: v%d by %s in %s, slug %.12s, binary %.12s", s.Number, s.Release, s.By, s.Took.Round(time.Second), s.Slug, s.Binary)
		if s.Number != i+1 || s.Binary != own {
			t.Errorf("stage %d has the program %s, the host built %s", s.Number, s.Binary, own)
		}
	}
	if stages[1].Slug != stages[2].Slug {
		t.Error("the slugs of stages 2 and 3 differ")
	}
}

// bootstrap runs `hoist bootstrap`. When that has said a text, something is done to it.
func (w *selfWorld) bootstrap(t *testing.T, source, at string, then func(p *os.Process)) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hoistBin, "bootstrap", "--source", source)
	cmd.Dir, cmd.Env, cmd.WaitDelay = w.Home, append(w.environ(), w.seedEnv()[len(os.Environ()):]...), time.Second
	var once sync.Once
	var doing sync.WaitGroup
	text := &heardBuffer{heard: func(out string) {
		if then != nil && strings.Contains(out, at) {
			once.Do(func() { doing.Go(func() { then(cmd.Process) }) })
		}
	}}
	cmd.Stdout, cmd.Stderr = text, text
	err := cmd.Run()
	doing.Wait()
	return text.String(), err
}

func headings(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "-----> ") || strings.HasPrefix(line, "       ") || strings.HasPrefix(line, " !") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// compiledSource is a repository with a program of the platform's that is compiled already.
func (w *selfWorld) compiledSource(t *testing.T) *faultApp {
	t.Helper()
	source := w.systemApp(t, filepath.Join(w.Home, "source"))
	if err := source.takeProgram(goodProgram(t, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := source.edit(); err != nil {
		t.Fatal(err)
	}
	return source
}

// sourceRepository has the platform's source as it is here, changes and all,
// but without tests: it is what hoistBin was built from.
func (w *selfWorld) sourceRepository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("the source is in no git repository: %v", err)
	}
	dir := filepath.Join(w.Home, "source")
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(to), 0o755)
		if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A", "-f"}, {"commit", "-q", "-m", "The platform"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = dir, w.environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// buildMirrors are the settings with which build dynos get Go modules as this
// machine does, as script/lib.sh has them. Without a proxy that answers there is
// no bootstrap.
func buildMirrors(t *testing.T) (settings []string) {
	t.Helper()
	out, err := exec.Command("go", "env", "-json", "-changed").Output()
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{}
	if err := json.Unmarshal(out, &changed); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"} {
		if value := changed[name]; value != "" {
			settings = append(settings, fmt.Sprintf("HOIST_BUILD_ENV_%s=%s", name, value))
		}
	}
	proxies, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(proxies)), ",")
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get(strings.TrimSuffix(first, "/") + "/github.com/spf13/cobra/@v/list")
	if err != nil {
		t.Skipf("no Go modules can be had: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Skipf("no Go modules can be had: %s", resp.Status)
	}
	return settings
}

// forgetHost takes the platform's key out of the person's known hosts, where
// bootstrap puts it: ssh does not go by $HOME.
func forgetHost(port int) {
	if u, err := user.Current(); err == nil {
		known := filepath.Join(u.HomeDir, ".ssh", "known_hosts")
		exec.Command("ssh-keygen", "-q", "-R", fmt.Sprintf("[localhost]:%d", port), "-f", known).Run()
		os.Remove(known + ".old")
	}
}
