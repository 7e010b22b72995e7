package runtime

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

func TestPlan(t *testing.T) {
	now := time.Now()
	once := now.Add(-time.Hour)
	dyno := func(release string, number int, state hoist.DynoState, adjust ...func(*hoist.Dyno)) hoist.Dyno {
		d := hoist.Dyno{ID: fmt.Sprint(release, number), ReleaseID: release, Kind: hoist.KindFormation, Type: "web", Number: number,
			Size: "Basic", Command: "run", Want: hoist.WantUp, State: state, WorkerID: "w", StateAt: now}
		if state == hoist.DynoUp {
			d.UpAt = &once
		}
		for _, f := range adjust {
			f(&d)
		}
		return d
	}
	want := func(w hoist.DynoWant) func(*hoist.Dyno) { return func(d *hoist.Dyno) { d.Want = w } }
	wasUp := func(d *hoist.Dyno) { d.UpAt = &once }
	waiting := func(d *hoist.Dyno) { d.WorkerID, d.StateAt = "", now.Add(-time.Minute) }
	on := func(w hoist.ID) func(*hoist.Dyno) { return func(d *hoist.Dyno) { d.WorkerID = w } }
	for _, c := range []struct {
		name     string
		quantity int
		dynos    []hoist.Dyno
		want     string // of current release r2: "+N" new, ID + want
	}{
		{"nothing runs", 2, nil, "+1 +2"},
		{"all is well", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoUp)}, ""},
		{"less", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoUp), dyno("r2", 2, hoist.DynoUp)}, "r22 down"},
		{"none", 0, []hoist.Dyno{dyno("r2", 1, hoist.DynoStarting)}, "r21 down"},
		{"a deploy", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoUp)}, "r11 restart +1"},
		{"the new one starts", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoUp, want("restart")), dyno("r2", 1, hoist.DynoStarting)}, ""},
		{"the new one is up", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoUp, want("restart")), dyno("r2", 1, hoist.DynoUp)}, "r11 down"},
		{"one of two is up", 2, []hoist.Dyno{
			dyno("r1", 1, hoist.DynoUp, want("restart")), dyno("r2", 1, hoist.DynoUp),
			dyno("r1", 2, hoist.DynoUp, want("restart")), dyno("r2", 2, hoist.DynoCrashed)}, ""},
		{"what never was up goes at once", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoCrashed)}, "r11 down +1"},
		{"of two old ones the one that is up stays", 1, []hoist.Dyno{
			dyno("r0", 1, hoist.DynoUp, want("restart")), dyno("r1", 1, hoist.DynoCrashed, wasUp), dyno("r2", 1, hoist.DynoStarting)}, "r11 down"},
		{"else the newest that was up", 1, []hoist.Dyno{
			dyno("r0", 1, hoist.DynoCrashed, want("restart"), wasUp), dyno("r1", 1, hoist.DynoCrashed, wasUp), dyno("r2", 1, hoist.DynoStarting)}, "r01 down r11 restart"},
		{"a restart", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoUp, want("restart"))}, "+1"},
		{"a stop ends before the start", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoStopping, want("down"))}, ""},
		{"a start does not wait for what is moved", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoStopping, want("down"), on("draining"))}, "+1"},
		{"a deploy does not wait for a stop", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoStopping, want("down"))}, "+1"},
		{"no room for both", 1, []hoist.Dyno{dyno("r1", 1, hoist.DynoUp, want("restart")), dyno("r2", 1, hoist.DynoStarting, waiting)}, "r11 down"},
		{"no room elsewhere while draining", 1, []hoist.Dyno{dyno("r2", 1, hoist.DynoUp, want("restart"), on("draining")), dyno("r2", 1, hoist.DynoStarting, waiting)}, ""},
	} {
		app := hoist.App{ID: "a", CurrentReleaseID: "r2"}
		formation := []hoist.ProcessType{{Type: "web", Command: "run", Quantity: c.quantity, Size: "Basic"}}
		var got []string
		for _, d := range plan(app, formation, c.dynos, []hoist.Worker{{ID: "w"}, {ID: "draining", Draining: true}}, now) {
			if len(d.ID) < 10 {
				got = append(got, d.ID+" "+string(d.Want))
			} else {
				got = append(got, fmt.Sprintf("+%d", d.Number))
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
	gone := []hoist.Dyno{dyno("r2", 1, hoist.DynoUp)}
	if got := plan(hoist.App{CurrentReleaseID: "r2"}, nil, gone, nil, now); len(got) != 1 || got[0].Want != hoist.WantDown {
		t.Errorf("a type that is no more: %+v", got)
	}
}

func TestPlace(t *testing.T) {
	now := time.Now()
	workers := []hoist.Worker{{ID: "a", Memory: 4 << 30}, {ID: "b", Memory: 2 << 30}, {ID: "c", Memory: 9 << 30, Draining: true},
		{ID: "d", Memory: 9 << 30, Probation: true}}
	dyno := func(app, worker, size string, age time.Duration) hoist.Dyno {
		return hoist.Dyno{ID: fmt.Sprint(app, size), AppID: app, Type: "web", Size: size, WorkerID: worker, StateAt: now.Add(-age)}
	}
	for _, c := range []struct {
		name            string
		placed, waiting []hoist.Dyno
		a, b            string // what they take
	}{
		{"most free memory", nil, []hoist.Dyno{dyno("x", "", "Basic", 0)}, "xBasic", ""},
		{"fewest of the app", []hoist.Dyno{dyno("x", "a", "Basic", 0)}, []hoist.Dyno{dyno("x", "", "Basic", 0)}, "", "xBasic"},
		{"one each", nil, []hoist.Dyno{dyno("x", "", "Eco", 0), dyno("x", "", "Basic", 0)}, "xEco", "xBasic"},
		{"only where there is room", []hoist.Dyno{dyno("x", "a", "Basic", 0)}, []hoist.Dyno{dyno("x", "", "Performance-M", 0)}, "xPerformance-M", ""},
		{"nowhere", nil, []hoist.Dyno{dyno("x", "", "Performance-L", 0), dyno("x", "", "Basic", 0)}, "xBasic", ""},
		{"anywhere after a moment", nil, []hoist.Dyno{dyno("x", "", "Basic", 2*time.Second)}, "xBasic", "xBasic"},
	} {
		for me, want := range map[string]string{"a": c.a, "b": c.b, "c": "", "d": ""} {
			if got := strings.Join(place(me, workers, slices.Clone(c.placed), slices.Clone(c.waiting), now), " "); got != want {
				t.Errorf("%s: %s takes %q, want %q", c.name, me, got, want)
			}
		}
	}
}

func TestWorkersOfOneMachineShareItsMemory(t *testing.T) {
	now := time.Now()
	const gib = 1 << 30
	workers := []hoist.Worker{{ID: "a", Memory: gib, Host: "one"}, {ID: "b", Memory: gib, Host: "one"},
		{ID: "leaving", Memory: gib, Host: "one", Draining: true}, {ID: "new", Memory: gib, Host: "one", Probation: true}}
	dyno := func(app, worker string, kind hoist.DynoKind) hoist.Dyno {
		return hoist.Dyno{ID: app, AppID: app, Type: "web", Kind: kind, Size: "Basic", WorkerID: worker, StateAt: now.Add(-time.Hour)}
	}
	const formation, run = hoist.KindFormation, hoist.KindRun
	for _, c := range []struct {
		name   string
		placed []hoist.Dyno
		room   int // for how many of three more
	}{
		{"nothing runs", nil, 2},
		{"what runs beside counts", []hoist.Dyno{dyno("x", "b", formation)}, 1},
		{"and fills it", []hoist.Dyno{dyno("x", "b", formation), dyno("y", "b", formation)}, 0},
		{"what leaves is counted where it goes", []hoist.Dyno{dyno("x", "leaving", formation), dyno("y", "leaving", formation)}, 2},
		{"a one-off stays where it is", []hoist.Dyno{dyno("x", "leaving", run)}, 1},
		{"a proof counts", []hoist.Dyno{dyno("x", "new", run)}, 1},
	} {
		waiting := []hoist.Dyno{dyno("p", "", formation), dyno("q", "", formation), dyno("r", "", formation)}
		if took := place("a", workers, c.placed, waiting, now); len(took) != c.room {
			t.Errorf("%s: took %v, want %d", c.name, took, c.room)
		}
	}
	// Those who are equal share the work.
	first := dyno("p", "", formation)
	first.StateAt = now
	second := dyno("q", "", formation)
	second.StateAt = now
	if a, b := place("a", workers, nil, []hoist.Dyno{first, second}, now), place("b", workers, nil, []hoist.Dyno{first, second}, now); len(a) != 1 || len(b) != 1 || a[0] == b[0] {
		t.Error(a, b)
	}
}

func TestBackoffDoublesUpToFiveMinutes(t *testing.T) {
	for restarts, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 9: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := backoff(time.Second, restarts); got != want {
			t.Errorf("%d: %s", restarts, got)
		}
	}
}
