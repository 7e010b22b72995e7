package seed

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

func TestOldDynosStopWhenAllTheNewOnesHaveProvenThemselves(t *testing.T) {
	old1 := member{id: "old1", number: 1, proven: true}
	old2 := member{id: "old2", number: 2, proven: true}
	new1 := member{id: "new1", number: 1, current: true}
	new2 := member{id: "new2", number: 2, current: true}
	proven := func(m member) member { m.proven = true; return m }
	stopping := func(m member) member { m.stopping = true; return m }
	for _, c := range []struct {
		what     string
		quantity int
		members  []member
		want     string
	}{
		{"nothing wanted, nothing there", 0, nil, "[] []"},
		{"the first are started", 2, nil, "[1 2] []"},
		{"new ones beside the old", 2, []member{old1, old2}, "[1 2] []"},
		{"one of two has proven itself", 2, []member{old1, old2, proven(new1), new2}, "[] []"},
		{"both have", 2, []member{old1, old2, proven(new1), proven(new2)}, "[] [old1 old2]"},
		{"those that stop are left alone", 2, []member{stopping(old1), proven(new1), proven(new2)}, "[] []"},
		{"fewer are wanted", 1, []member{proven(new1), proven(new2)}, "[] [new2]"},
		{"and the new ones are not there yet", 1, []member{old1, old2, new1, new2}, "[] [new2 old2]"},
		{"a new one has ended", 2, []member{proven(new1)}, "[2] []"},
		{"none are wanted", 0, []member{proven(new1), old2}, "[] [new1 old2]"},
		{"one stops, its successor comes", 1, []member{stopping(new1)}, "[1] []"},
	} {
		start, stop := planType(c.quantity, c.members)
		if got := fmt.Sprint(start, stop); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestATypeIsReadyWhenAllItsNewDynosHaveDoneTheirTasks(t *testing.T) {
	old := member{id: "old", number: 1, done: true, proven: true}
	one, two := member{id: "one", number: 1, current: true, done: true}, member{id: "two", number: 2, current: true}
	for _, c := range []struct {
		members []member
		want    bool
	}{{[]member{old}, false}, {[]member{old, one, two}, false}, {[]member{one, {number: 2, current: true, done: true}}, true},
		{[]member{one, {number: 2, current: true, done: true, stopping: true}}, false}} {
		if got := ready(2, c.members); got != c.want {
			t.Errorf("%+v: %v", c.members, got)
		}
	}
	if settled(1, []member{old, one}) {
		t.Error("it has not been let in")
	}
}

func TestAReleaseThatFailedGivesWayToTheLastGoodOne(t *testing.T) {
	good := &desired{ReleaseID: "good", Version: 3, Formation: map[string]process{"git": {"bin/hoist git", 1, "Basic"}}}
	bad := &desired{ReleaseID: "bad", Version: 4, Formation: map[string]process{"git": {"bin/hoist git --new", 2, "Basic"}, "new": {"x", 1, "Basic"}}}
	s := &systemState{Good: good, Next: bad, Failed: map[string]string{}}
	if s.wanted() != bad {
		t.Error("the next one is not tried")
	}
	s.Failed["bad"] = "it does not start"
	got := s.wanted()
	if got.ReleaseID != "good" || got.Formation["git"] != (process{"bin/hoist git", 2, "Basic"}) || len(got.Formation) != 1 {
		t.Errorf("%+v", got)
	}
	if good.Formation["git"].Quantity != 1 {
		t.Error("the good one was changed")
	}
	s.Good = nil
	if s.wanted() != nil {
		t.Error("there is nothing good to go back to")
	}
}

func TestTheGoodReleaseStandsInWhereNobodyDoesTheWork(t *testing.T) {
	y := bareSystem(t)
	good := y.proven(t, 1)
	next := &desired{AppID: "app", ReleaseID: "next", Version: 2, Formation: good.Formation}
	y.state.Next = next
	dyno := func(id hoist.ID, release string) *systemDyno {
		d := &systemDyno{}
		d.ID, d.Type, d.ReleaseID = id, hoist.ComponentAPI, release
		y.dynos[id] = d
		return d
	}
	dyno("n", "next").done = true
	if !y.vacancy(hoist.ComponentAPI, next) || y.vacancy(hoist.ComponentAPI, good) {
		t.Error("one on probation does no work, and one of a good release does")
	}
	dyno("g", good.ReleaseID)
	if y.vacancy(hoist.ComponentAPI, next) {
		t.Error("one of the good release is there")
	}
	y.dynos["g"].stopBy = time.Now()
	if !y.vacancy(hoist.ComponentAPI, next) {
		t.Error("it is stopping")
	}
	y.state.Proven["n"] = true
	if y.vacancy(hoist.ComponentAPI, next) {
		t.Error("the new one was let in")
	}
	delete(y.dynos, "n")
	y.inside(hoist.ComponentAPI).turn(true)
	if y.vacancy(hoist.ComponentAPI, next) {
		t.Error("the seed does the work")
	}
}

func TestWorkersHaveNetworksOfTheirOwn(t *testing.T) {
	s := Settings{Network: "10.77.0.0/16"}
	seen := map[string]bool{s.insideNetwork().String(): true}
	for slot := 1; slot <= workers; slot++ {
		n, err := s.workerNetwork(slot)
		if err != nil {
			t.Fatal(err)
		}
		if seen[n.String()] || s.insideNetwork().Overlaps(n) || !s.dynoNetwork().Contains(n.Addr()) || n != n.Masked() {
			t.Errorf("slot %d: %s", slot, n)
		}
		seen[n.String()] = true
	}
	if _, err := s.workerNetwork(workers + 1); err == nil {
		t.Error("there are more slots than places")
	}
	small := Settings{Network: "10.77.0.0/30"}
	if n := small.insideNetwork(); n.Bits() != 30 {
		t.Errorf("a small network was parted: %s", n)
	}
}

// Beside the old runtimes there are places for all the new ones, for as many as the API lets people want. For more there
// are not, which is said, and what is said helps.
func TestAnUpgradeHasPlacesForItsRuntimes(t *testing.T) {
	for quantity := hoist.MaxRuntimes; quantity <= hoist.MaxRuntimes+2; quantity++ {
		y, e := withEngine(t)
		of := func(quantity int) map[string]process {
			return map[string]process{hoist.ComponentRuntime: {"bin/hoist runtime", quantity, "Standard-1X"}}
		}
		one := y.six(t, 1)
		one.Formation = of(quantity)
		if err := y.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		turn := func() { y.adjust(t.Context(), hoist.ComponentRuntime, y.state.Next) }
		turn()
		before := y.letIn(one)
		two := *one
		two.ReleaseID, two.Version = "r2", 2
		y.state.Next = &two
		turn()
		why := y.cannot[hoist.ComponentRuntime]
		if want := fmt.Sprintf("`hoist ps:scale runtime=%d -a hoist`", hoist.MaxRuntimes); strings.Contains(why, want) != (quantity > hoist.MaxRuntimes) {
			t.Errorf("an upgrade of %d runtimes: it says %q", quantity, why)
		}
		two.Formation = of(hoist.MaxRuntimes)
		turn()
		for _, id := range e.asked {
			if y.dynos[id].Number <= hoist.MaxRuntimes {
				t.Errorf("%s is told to end before the new ones are there", y.dynos[id].Name())
			}
			delete(y.dynos, id) // it has ended
		}
		clear(y.startAt)
		turn()
		if after := y.letIn(&two); len(before) != quantity || len(after) != hoist.MaxRuntimes {
			t.Errorf("beside %d runtimes are %d new ones: %s", len(before), len(after), y.cannot[hoist.ComponentRuntime])
		}
		turn()
		if !slices.Equal(sorted(e.asked), before) {
			t.Errorf("%v are told to end, not %v", e.asked, before)
		}
	}
}

func TestASocketIsGotBackFromTheProcessThatHasIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	got, err := listenerOf(os.Getpid(), port)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	defer got.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := got.Accept()
		if err == nil {
			conn.Close()
		}
		accepted <- err
	}()
	conn, err := net.Dial("tcp", got.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	if _, err := listenerOf(os.Getpid(), 1); err == nil {
		t.Error("found a socket that is not there")
	}
}
