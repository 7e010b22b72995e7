package seed

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/postgres"
)

// fakeEngine has containers in memory.
type fakeEngine struct {
	Engine     // what is not needed
	containers []hoist.Container
	start      func() error
	watched    chan hoist.ID
	specs      []hoist.ContainerSpec // of what was started
	handed     map[hoist.ID][]string // the files that each got
	asked      []hoist.ID            // to end
}

func (e *fakeEngine) Start(_ context.Context, spec hoist.ContainerSpec) error {
	if err := e.start(); err != nil {
		e.containers = append(e.containers, hoist.Container{ID: spec.ID}) // what Remove removes
		return err
	}
	e.specs = append(e.specs, spec)
	e.handed[spec.ID] = nil
	for _, f := range spec.Grants.Files { // they are closed when it has started
		if _, err := f.File.Stat(); err == nil {
			e.handed[spec.ID] = append(e.handed[spec.ID], f.Name)
		}
	}
	e.containers = append(e.containers, hoist.Container{ID: spec.ID, Labels: spec.Labels, Pid: 1, Running: true})
	return nil
}

func (e *fakeEngine) List(context.Context) ([]hoist.Container, error) { return e.containers, nil }

func (e *fakeEngine) Signal(_ context.Context, id hoist.ID, signal int) error {
	if signal == int(syscall.SIGTERM) {
		e.asked = append(e.asked, id)
	}
	return nil
}

func (e *fakeEngine) Remove(_ context.Context, id hoist.ID) error {
	e.containers = slices.DeleteFunc(e.containers, func(c hoist.Container) bool { return c.ID == id })
	return nil
}

func (e *fakeEngine) Watch(ctx context.Context, id hoist.ID, _ hoist.Output) (hoist.Exit, error) {
	e.watched <- id
	<-ctx.Done()
	return hoist.Exit{}, ctx.Err()
}

// withEngine is a system that runs nothing yet, with a bus that is away.
func withEngine(t *testing.T) (*system, *fakeEngine) {
	t.Helper()
	y, e := bareSystem(t), &fakeEngine{watched: make(chan hoist.ID, 100), handed: map[hoist.ID][]string{}, start: func() error { return nil }}
	y.seed.ctx = t.Context()
	y.seed.state = &state{Secrets: map[string]string{}}
	y.seed.cfg.Network = "10.77.0.0/16"
	y.seed.cfg.Engine = func(string, string, netip.Prefix) (Engine, error) { return e, nil }
	bus, err := nats.Connect("nats://127.0.0.1:1", y.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	y.seed.bus = bus
	return y, e
}

// onTrial makes a release that is not known to be good, of the slug of a good one.
func (y *system) onTrial(t *testing.T) *desired {
	t.Helper()
	d := *y.proven(t, 1)
	d.ReleaseID, d.Version = "next", 2
	y.state.Next = &d
	return &d
}

func TestAReleaseIsNotGivenUpForOneStartThatFailed(t *testing.T) {
	y, e := withEngine(t)
	next := y.onTrial(t)
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.start = func() error { return context.DeadlineExceeded } // the disk is slow
	for n := range maxCrashes {
		if why := y.state.Failed["next"]; why != "" {
			t.Errorf("given up after %d starts: %s", n, why)
		}
		y.tryStart(t.Context(), hoist.ComponentAPI, 1, next)
	}
	if y.state.Failed["next"] == "" {
		t.Errorf("it is tried for ever")
	}
	if len(e.containers) > 0 {
		t.Errorf("%d containers are left half made", len(e.containers))
	}
}

// Nobody else knows of the container of a run.
func TestARunThatDoesNotStartLeavesNothing(t *testing.T) {
	y, e := withEngine(t)
	y.seed.system = y
	e.start = func() error { return context.DeadlineExceeded }
	w := httptest.NewRecorder()
	y.seed.serveRun(w, httptest.NewRequest(http.MethodPost, "/run", strings.NewReader(`{"command":"bash"}`)))
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), context.DeadlineExceeded.Error()) || len(e.containers) > 0 {
		t.Errorf("%d %s, %d containers are left", w.Code, w.Body, len(e.containers))
	}
}

// The seed is stopped, or the machine, while a release starts.
func TestAStopOfTheSeedDoesNotFailARelease(t *testing.T) {
	y, e := withEngine(t)
	next := y.onTrial(t)
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	e.start = func() error { stop(); return ctx.Err() }
	for range maxCrashes {
		y.tryStart(ctx, hoist.ComponentAPI, 1, next)
	}
	if len(y.state.Failed) > 0 || len(y.crashes) > 0 {
		t.Errorf("%v %v", y.state.Failed, y.crashes)
	}
}

// container is one of a dyno that an earlier seed started.
func container(id, release hoist.ID) hoist.Container {
	dyno, _ := json.Marshal(hoist.Dyno{ID: id, ReleaseID: release, Type: hoist.ComponentAPI, Number: 1})
	return hoist.Container{ID: id, Running: true, Pid: 1, Labels: map[string]string{"dyno": string(dyno)}}
}

// A dyno that finishes what is under way takes nothing new: another seed must not count on it.
func TestADynoThatEndsIsNotAdoptedAsOneThatServes(t *testing.T) {
	y, e := withEngine(t)
	good := y.proven(t, 1)
	e.containers = []hoist.Container{container("old", good.ReleaseID), container("new", good.ReleaseID)}
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	y.state.Proven["old"], y.state.Proven["new"] = true, true
	y.stop(t.Context(), y.dynos["old"])
	by := y.dynos["old"].stopBy

	again, e2 := withEngine(t)
	e2.containers = e.containers
	text, err := os.ReadFile(y.file())
	if err != nil || json.Unmarshal(text, &again.state) != nil {
		t.Fatal(err, string(text))
	}
	if err := again.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, serving := again.dynos["old"], again.dynos["new"]
	if !old.stopBy.Equal(by) || old.State != hoist.DynoStopping || old.Want != hoist.WantDown || old.wrote != hoist.WantDown {
		t.Errorf("%+v", old)
	}
	if serving.stopping() || serving.State != hoist.DynoUp || serving.wrote != hoist.WantUp {
		t.Errorf("%+v", serving)
	}
	delete(again.dynos, "old")
	if again.write(); len(again.state.Ending) != 0 {
		t.Error("it is remembered for ever")
	}
}

// Who never did anybody's work has nothing to finish. Only one that is on probation does none: also before it is seen to do
// its task, a good release's dyno serves.
func TestWhoServesMayFinish(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives directories away; needs root")
	}
	for _, c := range []struct {
		what         string
		trial, letIn bool
		most         time.Duration
	}{
		{"of a good release", false, false, drain + time.Minute},
		{"never let in", true, false, unprovenGrace},
		{"let in", true, true, drain + time.Minute},
	} {
		for _, adopted := range []bool{false, true} {
			y, e := withEngine(t)
			release := y.six(t, 1)
			if c.trial {
				release = y.onTrial(t)
				release.Formation = map[string]process{hoist.ComponentAPI: {"bin/hoist api", 1, "Standard-1X"}}
			}
			if err := y.open(t.Context()); err != nil {
				t.Fatal(err)
			}
			d, err := y.start(t.Context(), hoist.ComponentAPI, 1, release)
			if err != nil {
				t.Fatal(err)
			}
			if y.state.Proven[d.ID] = c.letIn; adopted { // by another seed
				clear(y.dynos)
				if err := y.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				d = y.dynos[d.ID]
			}
			begun := time.Now()
			y.stop(t.Context(), d)
			if may := d.stopBy.Sub(begun); may < c.most || may > c.most+time.Since(begun) || len(e.asked) != 1 {
				t.Errorf("%s, adopted %t: it may go on for %s, not %s", c.what, adopted, may, c.most)
			}
		}
	}
}

// system.json was damaged, or the engine is opened late: what serves goes on, watched.
func TestWhatRunsIsAdoptedWithoutKnowingWhatShall(t *testing.T) {
	y, e := withEngine(t)
	e.containers = []hoist.Container{container("d", "r")}
	if err := os.MkdirAll(filepath.Join(y.engineDir(), "containers", "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(y.file(), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.seed.cfg.DatabaseURL = "postgres://127.0.0.1:1/none"
	y.seed.cfg.HoldAddress = func(netip.Addr) error { return nil }
	late, err := newSystem(y.seed)
	if err != nil {
		t.Fatal(err)
	}
	if got := late.pids(hoist.ComponentAPI); len(got) != 1 {
		t.Errorf("dynos' sockets cannot be found: %v", got)
	}
	select {
	case id := <-e.watched:
		if id != "d" {
			t.Error(id)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody watches")
	}
	if y.seed.db, err = postgres.Open(t.Context(), y.seed.cfg.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	defer y.seed.db.Close()
	late.look(t.Context())
	if d := late.dynos["d"]; d == nil || d.stopping() {
		t.Errorf("it is told to end although the database may want it: %+v", d)
	}
}
