package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
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
	w.comparesAgain(t, source.dir)
	w.invariants(t)
}

// comparesAgain has the stages compared again, as if that had not been done yet; once with a
// third stage that is not the second.
func (w *selfWorld) comparesAgain(t *testing.T, source string) {
	t.Helper()
	settings := seed.Settings{DataDir: w.Dir}
	stages, err := seed.Stages(settings)
	if err != nil || len(stages) != 3 || !stages[2].Compared {
		t.Fatalf("%+v, %v", stages, err)
	}
	same := stages[2].Slug
	tree, image := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{
		{"unsquashfs", "-q", "-n", "-d", tree, settings.SystemSlug(same)},
		{"sh", "-c", "echo '# another' >> " + filepath.Join(tree, "bin/compile")},
		{"mksquashfs", tree, image, "-comp", "zstd", "-all-root", "-no-progress", "-quiet"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	other, err := fileSHA256(image)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(image)
	if err := errors.Join(err, os.WriteFile(settings.SystemSlug(other), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		slug, says, not string
		differ          bool
	}{{other, "stage 2 and stage 3 differ in:\n !    bin/compile (-rwxr-xr-x ", "bin/hoist (", true}, {same, "stage 2 = stage 3, bit for bit", "differ", false}} {
		stages[2].Slug, stages[2].Compared = c.slug, false
		if err := seed.SaveStages(settings, stages); err != nil {
			t.Fatal(err)
		}
		out, err := w.bootstrap(t, source, "", nil)
		if (err != nil) != c.differ || !strings.Contains(out, c.says) || strings.Contains(out, c.not) {
			t.Errorf("it ended with %v and should say %q:\n%s", err, c.says, lastLines(out, 30))
		}
	}
	if stages, err = seed.Stages(settings); err != nil || len(stages) != 3 || !stages[2].Compared {
		t.Errorf("compared, but not noted: %+v, %v", stages, err)
	}
}

// A newcomer's hoist up and hoist bootstrap move the platform from stage 0 to stage 3 on its own
// source, without a module proxy and while an app is asked; stopped in the middle and begun again, it goes on. Then its
// source is changed and pushed.
func TestSelfBootstrap(t *testing.T) {
	// Go's compiler takes a sixth less of the processor if it collects its garbage less often.
	w := newSelfWorldBy(t, startByUp, 1, "HOIST_BUILD_TIMEOUT=30m", "HOIST_BUILD_ENV_GOGC=400", "HOIST_BUILD_ENV_GOPROXY=off")
	t.Cleanup(func() { forgetHost(w.SSH) })
	n := w.newcomer()
	w.upAgain(t, n)
	w.starter = append(n.environ(), "GOMODCACHE="+goEnv(t, "GOMODCACHE")) // from which the program under test was built
	source := w.sourceRepository(t)
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
	if !strings.Contains(out, " that go.sum names, from ") || strings.Contains(out, "go: downloading") {
		t.Errorf("stage 1 did not get this machine's modules:\n%s", lastLines(out, 200))
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
	if code, _, err := w.get("hello", "/"); err != nil || code != http.StatusOK {
		t.Errorf("the newcomer's app: %d, %v", code, err)
	}
	w.hoistApp = &faultApp{w: w.faultWorld, Name: hoist.SystemApp, dir: filepath.Join(n.home, "hoist-hoist"),
		as: append(n.environ(), "GIT_AUTHOR_NAME=New", "GIT_AUTHOR_EMAIL=new@example.com", "GIT_COMMITTER_NAME=New", "GIT_COMMITTER_EMAIL=new@example.com")}
	w.pushChanged(t)
	l.mustBeWhole(t, time.Time{}, time.Time{})
	if !*thorough {
		return
	}
	flags := []string{"--size=performance-m"} // and no build cache: it fetches the modules
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"} {
		flags = append(flags, "-e", name+"="+goEnv(t, name))
	}
	w.compilesItself(t, flags...)
}

// pushChanged changes the source in the working copy that bootstrap left, and pushes it. What
// runs then must be what the host makes of it.
func (w *selfWorld) pushChanged(t *testing.T) {
	t.Helper()
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
	if err := w.atStage(3, true); err != nil {
		t.Error(err)
	}
}

// atStage waits until the seed says that the slug of a stage runs, or one beyond.
func (w *selfWorld) atStage(number int, beyond bool) error {
	return eventually(30*time.Second, func() error {
		st, err := w.status()
		if err == nil && (st.System == nil || st.System.Stage != number || st.System.Beyond != beyond) {
			err = fmt.Errorf("the seed does not say stage %d, beyond %v, but %+v", number, beyond, st.System)
		}
		return err
	})
}

// compiledBy is a dyno that compiles, and of which release.
var compiledBy = regexp.MustCompile(`^compile\.1 \(v(\d+)\)$`)

// checkStages compares what bootstrap noted with the program that was built here, and with the releases.
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
		if s.Size <= 0 || s.Took <= 0 {
			t.Errorf("stage %d has %d bytes and took %s", s.Number, s.Size, s.Took)
		}
		if i == 0 {
			if s.By != "the seed's compile" {
				t.Errorf("stage 1 was compiled by %s", s.By)
			}
			continue
		}
		// A release in between is of a build that was released, but not noted: it was stopped then.
		by := compiledBy.FindStringSubmatch(s.By)
		if by == nil {
			t.Errorf("stage %d was compiled by %s", s.Number, s.By)
		} else if v, _ := strconv.Atoi(by[1]); v < stages[i-1].Release || v >= s.Release {
			t.Errorf("stage %d, v%d, was compiled by v%d; stage %d is v%d", s.Number, s.Release, v, i, stages[i-1].Release)
		}
		if flags, err := w.goFlags(s.Release); flags != "-a" || err != nil {
			t.Errorf("stage %d was compiled with GOFLAGS=%q, %v", s.Number, flags, err)
		}
	}
	if stages[1].Slug != stages[2].Slug || !stages[2].Compared {
		t.Errorf("the slugs of stages 2 and 3 differ, or were not compared: %+v", stages[1:])
	}
	current, err := w.currentRelease()
	if err != nil {
		t.Error(err)
	}
	if flags, err := w.goFlags(current.Version); flags != "" || err != nil {
		t.Errorf("it runs with GOFLAGS=%q, %v", flags, err)
	}
	var now []struct{ Flags string }
	if err := w.query(&now, `SELECT config->>'GOFLAGS' AS flags FROM apps WHERE name = $1 AND config ? 'GOFLAGS'`, hoist.SystemApp); err != nil || len(now) > 0 {
		t.Errorf("GOFLAGS stayed: %v, %v", now, err)
	}
	if err := w.atStage(3, false); err != nil {
		t.Error(err)
	}
}

// goFlags are those of a release of the platform; also of the build that it came of.
func (w *selfWorld) goFlags(version int) (string, error) {
	var list []struct{ Flags string }
	err := w.query(&list, `SELECT coalesce(r.config->>'GOFLAGS', '') AS flags FROM releases r JOIN apps a ON a.id = r.app_id
		WHERE a.name = $1 AND r.version = $2`, hoist.SystemApp, version)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%d releases v%d", len(list), version)
	}
	if err != nil {
		return "", err
	}
	return list[0].Flags, nil
}

// bootstrap runs `hoist bootstrap`. When that has said a text, something is done to it.
func (w *selfWorld) bootstrap(t *testing.T, source, at string, then func(p *os.Process)) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hoistBin, "bootstrap", "--source", source)
	cmd.Dir, cmd.Env, cmd.WaitDelay = w.Home, w.starter, time.Second
	if cmd.Env == nil {
		cmd.Env = append(w.environ(), w.seedEnv()[len(os.Environ()):]...)
	}
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
		t.Fatalf("the source is in no git repository, which names what belongs to it: %v", err)
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

// forgetHost takes the platform's key out of the person's known hosts, where
// bootstrap puts it: ssh does not go by $HOME.
func forgetHost(port int) {
	if u, err := user.Current(); err == nil {
		known := filepath.Join(u.HomeDir, ".ssh", "known_hosts")
		exec.Command("ssh-keygen", "-q", "-R", fmt.Sprintf("[localhost]:%d", port), "-f", known).Run()
		os.Remove(known + ".old")
	}
}
