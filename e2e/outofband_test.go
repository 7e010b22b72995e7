package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The platform runs on itself. What a person does on the machine works while the database and
// the bus are away, and so the API; apps go on serving, and when they are back the database is told what was done.
func TestOutOfBand(t *testing.T) {
	w := newFaultWorld(t, 1)
	app := w.apps[0]
	first := w.onItself(t, "first")
	second := w.onItself(t, "second")
	l := startLoad(w, w.apps)

	t.Run("circles are cut", func(t *testing.T) {
		out, err := w.hoist("seed", "circles")
		if err != nil {
			t.Fatal(err)
		}
		t.Log(out)
		for _, want := range []string{"compile ✂ release of hoist → compile", "seed ✂ database → seed", " 0 not cut."} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if strings.Contains(out, "No process reports") {
			t.Error("a component does not report what it needs")
		}
	})

	t.Run("rescue", func(t *testing.T) {
		if _, err := w.hoist("seed", "rescue", "compile"); err != nil {
			t.Fatal(err)
		}
		rescued := func(yes bool) func() error {
			return func() error {
				st, err := w.status()
				if n := len(st.versions()["compile"]); err == nil && (n == 0) != yes {
					err = fmt.Errorf("%d dynos of compile", n)
				}
				if err == nil && !st.Ready {
					err = fmt.Errorf("not ready: %v", st.WaitsFor)
				}
				return err
			}
		}
		if err := eventually(time.Minute, rescued(true)); err != nil {
			t.Fatal(err)
		}
		out, _ := w.hoist("seed", "status")
		if !strings.Contains(out, "The seed does the work of compile until `hoist seed rescue compile --back`.") {
			t.Errorf("status does not say it:\n%s", out)
		}
		if err := w.killSeed(); err != nil { // its keeper starts it again
			t.Fatal(err)
		}
		if err := eventually(time.Minute, rescued(true)); err != nil {
			t.Fatal(err)
		}
		if err := app.mustPush(); err != nil {
			t.Error(err)
		}
		if _, err := w.hoist("seed", "rescue", "compile", "--back"); err != nil {
			t.Fatal(err)
		}
		if err := eventually(time.Minute, rescued(false)); err != nil {
			t.Fatal(err)
		}
		w.awaitSettled(t, second)
	})

	back := w.removeGround(t)
	t.Run("without a database", func(t *testing.T) {
		w.statusSays(t, "runtime up without the database (it does not answer)", "logs waiting waits for the database (it does not answer), the bus (it does not answer)")
		if err := app.serving(); err != nil {
			t.Error(err)
		}
		out, err := w.hoist("seed", "run", "--", "cat mark; exit 7")
		if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(out, "second") {
			t.Errorf("run: %v\n%s", err, out)
		}
		if out, err := w.hoist("seed", "logs", "api", "-n", "1000"); err != nil || !strings.Contains(out, "hoist[api.1]: ") {
			t.Errorf("logs: %v\n%s", err, out)
		}
		if out, err := w.hoist("seed", "releases"); err != nil || !strings.Contains(out, "*  v"+strconv.Itoa(second)) {
			t.Errorf("releases: %v\n%s", err, out)
		}
		if out, err := w.hoist("seed", "ps"); err != nil || !has(out, "nats") || !has(out, "router.1 up") {
			t.Errorf("ps: %v\n%s", err, out)
		}
		if err := w.killSeed(); err != nil { // its keeper starts it again, with what it knows by itself
			t.Fatal(err)
		}
		if err := eventually(30*time.Second, func() error {
			st, err := w.status()
			if err == nil && len(st.versions()) != len(componentNames) {
				err = fmt.Errorf("the dynos were not taken over: %+v", st.System)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if _, err := w.hoist("seed", "rollback", "v999"); err == nil || !strings.Contains(err.Error(), "knows no v999") {
			t.Errorf("rollback to nothing: %v", err)
		}
	})
	t.Run("rollback without a database", func(t *testing.T) {
		if _, err := w.hoist("seed", "rollback"); err != nil {
			t.Fatal(err)
		}
		if err := eventually(2*time.Minute, func() error {
			st, err := w.status()
			for _, name := range []string{"git", "api", "compile", "router", "logs"} {
				if v := st.versions()[name]; err == nil && (len(v) != 1 || v[0] != first) {
					err = fmt.Errorf("%s is of %v, not v%d", name, v, first)
				}
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		out, err := w.hoist("seed", "releases")
		if err != nil || !strings.Contains(out, "*  v"+strconv.Itoa(first)) {
			t.Errorf("releases: %v\n%s", err, out)
		}
		if err := app.serving(); err != nil {
			t.Error(err)
		}
	})

	t.Run("rescue without a database", func(t *testing.T) {
		for _, name := range componentNames {
			if _, err := w.hoist("seed", "rescue", name); err != nil {
				t.Fatal(err)
			}
		}
		if err := eventually(2*time.Minute, w.eachComponent((*systemStatus).bySeed)); err != nil {
			t.Error(err)
		}
		if err := app.serving(); err != nil {
			t.Error(err)
		}
		for _, name := range componentNames {
			if _, err := w.hoist("seed", "rescue", name, "--back"); err != nil {
				t.Fatal(err)
			}
		}
		if err := eventually(2*time.Minute, w.eachComponent((*systemStatus).byDynos)); err != nil {
			t.Error(err)
		}
	})

	if err := back(); err != nil {
		t.Fatal(err)
	}
	t.Run("the database agrees when it is back", func(t *testing.T) {
		w.awaitSettled(t, second+1)
		var rows []struct {
			Version int
			D       string
		}
		err := w.query(&rows, `SELECT r.version, r.description AS d FROM apps a JOIN releases r ON r.id = a.current_release_id WHERE a.name = 'hoist'`)
		if err != nil || len(rows) != 1 || rows[0].D != fmt.Sprintf("Rollback to v%d", first) || rows[0].Version != second+1 {
			t.Errorf("the current release is %+v, %v", rows, err)
		}
		st, err := w.status()
		if err != nil || st.System.Override != "" {
			t.Errorf("%+v %v", st.System, err)
		}
		if err := eventually(2*time.Minute, func() error { // the old runtime moves its dynos first
			st, err := w.status()
			for name, v := range st.versions() {
				if len(v) != 1 || v[0] != first {
					err = fmt.Errorf("%s runs as %v: what runs of v%d should run on", name, v, first)
				}
			}
			for _, task := range st.Tasks {
				if component(task.Name) && len(task.By) == 0 {
					err = errors.Join(err, fmt.Errorf("%s is still in the seed", task.Name))
				}
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if err := app.mustPush(); err != nil {
			t.Error(err)
		}
	})
	l.mustBeWhole(t, time.Time{}, time.Time{})
}

// eachComponent asks how all components are.
func (w *faultWorld) eachComponent(is func(st *systemStatus, name string) error) func() error {
	return func() error {
		st, err := w.status()
		for _, name := range componentNames {
			if err == nil {
				err = is(&st, name)
			}
		}
		return err
	}
}

// bySeed says what is missing until the seed does a component's work, and no dyno does. It has to say itself what
// it goes without. A runtime's dyno may have dynos that it cannot move without a database.
func (st *systemStatus) bySeed(name string) error {
	for _, d := range st.System.Dynos {
		if strings.HasPrefix(d.Name, name+".") && (name != "runtime" || d.State != "stopping") {
			return fmt.Errorf("%s is still there", d.Name)
		}
	}
	for _, task := range st.Tasks {
		if task.Name == name && (task.PID != st.PID || !strings.Contains(task.WaitsFor+task.Without, "database (it does not answer)")) {
			return fmt.Errorf("%s is not at work in the seed, process %d: %+v", name, st.PID, task)
		}
	}
	return nil
}

// byDynos says what is missing until a dyno does a component's work, and the seed does not. A
// runtime's does it when the database is back: until then the dynos of the one before cannot be moved.
func (st *systemStatus) byDynos(name string) error {
	there := 0
	for _, d := range st.System.Dynos {
		if strings.HasPrefix(d.Name, name+".") && d.State != "stopping" {
			there++
		}
	}
	for _, task := range st.Tasks {
		if task.Name == name && (there == 0 || name != "runtime" && len(task.By) == 0) {
			return fmt.Errorf("%s was not given back to a dyno: %+v", name, task)
		}
	}
	return nil
}

// removeGround kills Postgres and the bus, which is in the seed, and takes their data away, for good
// until back is called.
func (w *faultWorld) removeGround(t *testing.T) (back func() error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Dir, "postgres/data/postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	database, err := w.remove("postgres")
	if err != nil {
		t.Fatal(err)
	}
	bus, err := w.remove("nats")
	if err := errors.Join(err, w.killSeed(), syscall.Kill(pid, syscall.SIGKILL), awaitGone([]int{pid})); err != nil {
		t.Fatal(err)
	}
	return func() error { return errors.Join(database(), bus()) }
}

// remove takes a directory of the platform's data away. A file in its place keeps the seed from
// making a new one.
func (w *faultWorld) remove(name string) (back func() error, err error) {
	dir := filepath.Join(w.Dir, name)
	return func() error { return errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)) },
		errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600))
}
