package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// The platform moves onto itself while it is used in all ways, and is an app like any
// other after that. Then it is lost, and comes back from its backup.
func TestSelfTakesOver(t *testing.T) {
	w := newSelfWorld(t, 3)
	c := w.startClient(t, 30*time.Second)
	w.makeSystemApp(t)
	if out, err := w.pushProgram(goodProgram(t, 0), nil); err != nil {
		t.Fatalf("push of hoist: %v\n%s", err, out)
	}
	used := c.uses()
	w.takeOver(t)
	c.usedSince(t, used)
	c.mustBeWhole(t)
	if err := eventually(time.Minute, w.seedIsEmpty); err != nil {
		t.Error(err)
	}
	if err := eventually(time.Minute, func() error {
		log, err := w.hoistApp.cli(t.Context(), "logs", "-n", "1500", "-d", "router.1").CombinedOutput()
		if err == nil && !strings.Contains(string(log), "heroku[router.1]: State changed from starting to up") {
			err = errors.New("it has no start of router.1")
		}
		if err != nil {
			err = fmt.Errorf("the log of hoist: %w\n%s", err, log)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	w.invariants(t)
	w.wallsHold(t)
	st, err := w.status()
	if err != nil {
		t.Fatal(err)
	}
	if st.System.Stage < 1 {
		t.Errorf("the stage is %d", st.System.Stage)
	}

	ps := w.must(t, "ps")
	for _, c := range hoist.Components {
		if !strings.Contains(ps, c+".1: up") {
			t.Errorf("%s.1 is not up:\n%s", c, ps)
		}
	}
	if out := w.must(t, "releases"); !strings.Contains(out, "Current: v2") {
		t.Errorf("releases:\n%s", out)
	}
	own, err := fileSHA256(hoistBin)
	if err != nil {
		t.Fatal(err)
	}
	out := w.must(t, "run", "sha256sum bin/hoist; env; cat /proc/self/status")
	if !strings.Contains(out, own) || !strings.Contains(out, "HOIST_APP_NAME=hoist") {
		t.Errorf("the program in a dyno is not %s:\n%s", own, out)
	}
	if secret := regexp.MustCompile(`(?m)^\S*(_URL|_KEY|_CERT)=.*$`).FindString(out); secret != "" {
		t.Errorf("a one-off dyno has what is a component's: %s", secret)
	}
	if sets := regexp.MustCompile(`(?m)^Cap(Inh|Prm|Eff|Bnd|Amb):\s+0+\r?$`).FindAllString(out, -1); len(sets) != 5 {
		t.Errorf("a one-off dyno has capabilities:\n%s", out)
	}
	w.compilesItself(t)

	l := startLoad(w.faultWorld, w.apps)
	w.must(t, "config:set", "FOO=bar")
	current, err := w.currentRelease()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := w.awaitSettled(2*time.Minute, current.Version); err != nil {
		t.Fatalf("after config:set: %v", err)
	}
	t.Logf("new config runs after %s", time.Since(begun).Round(100*time.Millisecond))
	if out := w.must(t, "config"); !regexp.MustCompile(`FOO:\s+bar`).MatchString(out) {
		t.Errorf("config:\n%s", out)
	}

	w.must(t, "ps:scale", "compile=2", "runtime=2")
	if err := w.awaitScaled(map[string]int{"compile": 2, "runtime": 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.apps[0].scale("web", 4); err != nil { // spreads
		t.Fatal(err)
	}
	w.invariants(t)
	var spread []struct{ Worker string }
	if err := w.query(&spread, `SELECT DISTINCT d.worker_id AS worker FROM dynos d JOIN apps a ON a.id = d.app_id WHERE a.name = $1 AND d.state = 'up'`, w.apps[0].Name); err != nil || len(spread) != 2 {
		t.Errorf("four dynos of an app are on %d of 2 runtimes, %v", len(spread), err)
	}
	w.must(t, "ps:scale", "compile=1", "runtime=1")
	begun = time.Now()
	if err := w.awaitScaled(map[string]int{"compile": 1, "runtime": 1}); err != nil {
		t.Fatal(err)
	}
	t.Logf("one runtime was drained after %s", time.Since(begun).Round(100*time.Millisecond))
	w.invariants(t)
	l.mustBeWhole(t, time.Time{}, time.Time{})
	w.comesBack(t)
}

// seedIsEmpty is an error while a component is still at work inside the seed, with what it had begun too.
func (w *selfWorld) seedIsEmpty() error {
	st, err := w.status()
	for _, task := range st.Tasks {
		if component(task.Name) && (task.Finishes || len(task.By) == 0) {
			err = errors.Join(err, fmt.Errorf("%s is at work inside the seed: %+v", task.Name, task))
		}
	}
	return err
}

// awaitScaled waits for a number of dynos of hoist of some types; runtimes take dynos then.
func (w *selfWorld) awaitScaled(want map[string]int) error {
	return eventually(2*time.Minute, func() error {
		if err := w.settled(0); err != nil {
			return err
		}
		st, err := w.status()
		if err != nil {
			return err
		}
		there := map[string]int{}
		for _, d := range st.System.Dynos {
			if name, _, _ := strings.Cut(d.Name, "."); d.State == string(hoist.DynoUp) || name == "runtime" {
				there[name]++
			}
		}
		for name, n := range want {
			if there[name] != n {
				return fmt.Errorf("%d dynos of %s, not %d: %s", there[name], name, n, showDynos(st.System))
			}
		}
		var taking []struct{ ID string }
		err = w.query(&taking, `SELECT id FROM workers WHERE NOT probation AND NOT draining AND seen_at > now() - interval '5 seconds'`)
		if n := want["runtime"]; err == nil && n > 0 && len(taking) != n {
			err = fmt.Errorf("%d runtimes take dynos, not %d", len(taking), n)
		}
		return err
	})
}

func fileSHA256(path string) (string, error) {
	out, err := exec.Command("sha256sum", path).Output()
	sum, _, _ := strings.Cut(string(out), " ")
	return sum, err
}
