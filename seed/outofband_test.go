package seed

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// bareSystem is a system that runs nothing, in a directory of its own.
func bareSystem(t *testing.T) *system {
	s := &Seed{cfg: Config{Settings: Settings{DataDir: t.TempDir(), Components: hoist.Components}}, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, c := range hoist.Components {
		s.components = append(s.components, newInside(&task{name: c}))
	}
	y := &system{seed: s, log: s.log, kick: make(chan struct{}, 1), dynos: map[hoist.ID]*systemDyno{},
		crashes: map[string]int{}, rows: map[string]*row{}, startAt: map[string]time.Time{}, provenAt: map[string]time.Time{}, cannot: map[string]string{}}
	y.state.makeMaps()
	return y
}

// proven makes a release that is known to be good, with a slug.
func (y *system) proven(t *testing.T, version int) *desired {
	t.Helper()
	text := fmt.Sprint("slug of ", version)
	path := y.slugFile("new")
	os.MkdirAll(filepath.Dir(path), 0o700)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := hoist.FileSHA256(path)
	if err != nil || os.Rename(path, y.slugFile(sum)) != nil {
		t.Fatal(err)
	}
	d := &desired{AppID: "app", ReleaseID: fmt.Sprint("r", version), Version: version, Slug: sum, Formation: map[string]process{"api": {Quantity: version}}}
	y.state.Good, y.state.Next = d, d
	y.state.remember(d, time.Now())
	return d
}

func TestRollbackGoesToTheReleaseBefore(t *testing.T) {
	y := bareSystem(t)
	if _, err := y.rollback(0); err != errNoApp {
		t.Errorf("without an app: %v", err)
	}
	one := y.proven(t, 1)
	if _, err := y.rollback(0); err == nil || !strings.Contains(err.Error(), "no release before v1") {
		t.Error(err)
	}
	y.proven(t, 2)
	three := y.proven(t, 3)
	if to, err := y.rollback(0); err != nil || to != 2 {
		t.Fatal(to, err)
	}
	if w := y.state.wanted(); w.Version != 2 || w.Formation["api"].Quantity != 3 {
		t.Errorf("it wants %+v: the code of v2 with the quantities of now", w)
	}
	if to, err := y.rollback(0); err != nil || to != 1 { // and on
		t.Fatal(to, err)
	}
	if o := y.state.Override; o.Was != three.ReleaseID || o.To.ReleaseID != one.ReleaseID {
		t.Errorf("%+v", o)
	}
	if to, err := y.rollback(3); err != nil || to != 3 || y.state.Override != nil {
		t.Errorf("back to what the database says: %d %v %+v", to, err, y.state.Override)
	}
	if _, err := y.rollback(3); err == nil {
		t.Error("to what runs")
	}
	list := y.releases()
	if len(list) != 3 || list[0].Version != 3 || !list[0].Wanted || !list[0].Current || !list[2].Here {
		t.Errorf("%+v", list)
	}
	// It is in the file, for a seed that starts again.
	if text, err := os.ReadFile(y.file()); err != nil || !strings.Contains(string(text), `"history"`) {
		t.Error(err, string(text))
	}
}

func TestADamagedSlugIsNotRun(t *testing.T) {
	y := bareSystem(t)
	one := y.proven(t, 1)
	y.proven(t, 2)
	if err := os.WriteFile(y.slugFile(one.Slug), []byte("rust"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := y.rollback(1); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
	if y.here(one.Slug) {
		t.Error("it stays, and is not fetched again")
	}
	if _, err := y.rollback(1); err == nil || !strings.Contains(err.Error(), "is not here") {
		t.Error(err)
	}
}

func TestTenReleasesAreRemembered(t *testing.T) {
	y := bareSystem(t)
	for v := range 14 {
		y.proven(t, v+1)
	}
	if n := len(y.state.History); n != historyLength || y.state.History[0].Version != 5 {
		t.Errorf("%d, from v%d", n, y.state.History[0].Version)
	}
	old := time.Now().Add(-2 * time.Hour)
	files, _ := filepath.Glob(y.slugFile("*"))
	for _, path := range files {
		os.Chtimes(path, old, old)
	}
	y.state.Failed = map[hoist.ID]string{"r1": "it was bad", "r14": "it is bad"}
	y.state.Same = map[hoist.ID]rolledBack{"r2": {sameAs{"r1", 1}, "r1 was bad"}}
	if y.state.forget(); len(y.state.Failed) != 1 || y.state.Failed["r14"] == "" || len(y.state.Same) != 0 {
		t.Errorf("%v %v", y.state.Failed, y.state.Same)
	}
	os.WriteFile(filepath.Join(y.slugFile(""), ".fetch123"), nil, 0o600)
	y.removeUnfinished()
	if left, _ := filepath.Glob(y.slugFile("") + "/.*"); len(left) > 0 {
		t.Errorf("%v", left)
	}
	y.collectSlugs()
	if files, _ = filepath.Glob(y.slugFile("*")); len(files) != historyLength {
		t.Errorf("%d slugs are kept", len(files))
	}
}

func TestRescue(t *testing.T) {
	y := bareSystem(t)
	if err := y.rescue("api", false); err != errNoApp {
		t.Error(err)
	}
	y.proven(t, 1)
	if err := y.rescue("web", false); err == nil || !strings.Contains(err.Error(), "git, api,") {
		t.Error(err)
	}
	if err := y.rescue("api", true); err == nil {
		t.Error("back without a rescue")
	}
	if err := y.rescue("api", false); err != nil {
		t.Fatal(err)
	}
	if p := y.state.rescued("api", process{Quantity: 3}); p.Quantity != 0 {
		t.Error(p)
	}
	if err := y.rescue("api", true); err != nil {
		t.Fatal(err)
	}
	if p := y.state.rescued("api", process{Quantity: 3}); p.Quantity != 3 {
		t.Error(p)
	}
}

// While the ground is away nothing can be proved: what is of the good release and there does the work,
// so that nobody else need do it; what is new waits.
func TestWithoutTheGroundTheGoodReleaseDoesTheWork(t *testing.T) {
	y := bareSystem(t)
	good := y.proven(t, 1)
	dir := filepath.Join(y.seed.cfg.file("system"), "compile")
	os.MkdirAll(dir, 0o700)
	dyno := func(id, release, report string) *systemDyno {
		if report != "" {
			if err := os.WriteFile(filepath.Join(dir, "report-"+id+".json"), []byte(report), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := &systemDyno{Dyno: hoist.Dyno{ID: id, ReleaseID: release, Type: "compile", State: hoist.DynoStarting}}
		y.dynos[id] = d
		return d
	}
	lacking := dyno("1", good.ReleaseID, `{"id": "1", "needs": [{"on": "blobs", "missing": "gone"}]}`)
	serving := dyno("2", good.ReleaseID, `{"id": "2", "needs": [{"on": "bus", "missing": "gone", "without": "it looks"}, {"on": "api", "missing": "gone"}]}`)
	dyno("3", "new", `{"id": "3"}`)
	dyno("4", good.ReleaseID, "") // has not begun
	if !y.lacksGround(lacking) || y.lacksGround(serving) {
		t.Error("who waits for the ground, and who does not?")
	}
	y.proveAlone()
	if p := y.state.Proven; len(p) != 2 || !p["1"] || !p["2"] || lacking.State != hoist.DynoUp {
		t.Errorf("%v do the work", p)
	}
}

// A component may write what it likes into its directory.
func TestReportsAreNotTrusted(t *testing.T) {
	s := &Settings{DataDir: t.TempDir()}
	dir := filepath.Join(s.file("system"), "router")
	os.MkdirAll(dir, 0o700)
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("report-1.json", `{"id": "1", "waits_for": "rou\u001b[2Jtes", "needs": [{"on": "bus", "missing": "away", "without": "it looks"}]}`)
	put("report-2.json", `{`)
	put("report-3.json", strings.Repeat(" ", reportLimit)+`{"id": "3"}`)
	put("report-4.json", `{"id": "4"}`)
	old := time.Now().Add(-time.Minute)
	os.Chtimes(filepath.Join(dir, "report-4.json"), old, old)
	os.Symlink("/etc/passwd", filepath.Join(dir, "report-5.json"))
	unix.Mkfifo(filepath.Join(dir, "report-6.json"), 0o600)
	list := s.reports("router", time.Now())
	if len(list) != 1 || list[0].ID != "1" {
		t.Fatalf("%+v", list)
	}
	task := TaskStatus{State: stateUp}
	task.lacks(list)
	if task.State != stateWaiting || task.WaitsFor != "rou [2Jtes" || task.Without != "the bus (away): it looks" {
		t.Errorf("%+v", task)
	}
}

func TestAClockThatWasSetBack(t *testing.T) {
	s := Settings{DataDir: t.TempDir()}
	now := time.Now()
	behind := func(at time.Time, want time.Duration) {
		t.Helper()
		if b := s.clockBehind(at); (b - want).Abs() > time.Millisecond {
			t.Errorf("it is %s behind, not %s", b, want)
		}
	}
	behind(now, 0) // nothing is known
	for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(-24 * time.Hour)} {
		if err := s.markClock(at); err != nil {
			t.Fatal(err)
		}
	}
	behind(now.Add(2*time.Hour), 0)
	behind(now.Add(-24*time.Hour), 25*time.Hour)
	// What the note in the status says to do.
	if err := os.Remove(s.file(clockMark)); err != nil {
		t.Fatal(err)
	}
	if err := s.markClock(now); err != nil {
		t.Fatal(err)
	}
	behind(now, 0)
}
