package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Each of the platform's own dynos is killed in turn. Nobody sees it but whose dynos it ran.
func TestSelfKillDash9(t *testing.T) {
	w := onItself(t, 3)
	for _, a := range w.apps {
		if err := a.scale("web", 2); err != nil {
			t.Fatal(err)
		}
	}
	w.invariants(t)
	for _, name := range componentNames {
		t.Run(name, func(t *testing.T) {
			pid, err := w.systemDyno(name)
			if err != nil {
				t.Fatal(err)
			}
			l := startLoad(w.faultWorld, w.apps)
			time.Sleep(time.Second)
			killed := time.Now()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var outage func() (longest, last time.Duration)
			if name == "runtime" {
				outage = w.probe(killed)
			}
			if err := eventually(time.Minute, func() error {
				now, err := w.systemDyno(name)
				if err == nil && now == pid {
					err = fmt.Errorf("%s is still process %d", name, pid)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
			t.Logf("%s is up again after %s", name, time.Since(killed).Round(10*time.Millisecond))
			if err := w.awaitSettled(time.Minute, 0); err != nil {
				t.Error(err)
			}
			if outage != nil {
				longest, last := outage()
				t.Logf("an app was not served for %s at most; the last request that failed began %s after the kill", longest.Round(10*time.Millisecond), last.Round(10*time.Millisecond))
				if longest > 10*time.Second || last > 10*time.Second {
					t.Error("which is too long")
				}
			}
			excused := killed // requests that the router had in hand
			if name == "runtime" {
				excused = time.Now()
			}
			l.mustBeWhole(t, killed, excused)
			w.invariants(t)
		})
	}
	t.Run("one of two runtimes", w.oneOfTwoRuntimes)
}

// oneOfTwoRuntimes kills one: its dynos come back on the other. Apps that have a dyno there are
// served all the time.
func (w *selfWorld) oneOfTwoRuntimes(t *testing.T) {
	w.must(t, "ps:scale", "runtime=2")
	if err := w.awaitScaled(map[string]int{"runtime": 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.apps[0].scale("web", 4); err != nil { // which spreads
		t.Fatal(err)
	}
	w.invariants(t)
	pid, err := w.systemDyno("runtime")
	if err != nil {
		t.Fatal(err)
	}
	victim, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/var/lib/hoist/worker", pid))
	if err != nil {
		t.Fatal(err)
	}
	worker := strings.TrimSpace(string(victim))
	var webs []struct {
		Name       string
		Lost, Kept int
	}
	if err := w.query(&webs, `SELECT a.name, count(*) FILTER (WHERE d.worker_id = $1) AS lost, count(*) FILTER (WHERE d.worker_id <> $1) AS kept
		FROM dynos d JOIN apps a ON a.id = d.app_id WHERE d.state = 'up' AND d.type = 'web' AND NOT a.system GROUP BY 1`, worker); err != nil {
		t.Fatal(err)
	}
	t.Logf("web dynos on the runtime that is killed, and on the other: %+v", webs)
	kept := map[string]bool{}
	for _, n := range webs {
		kept[n.Name] = n.Kept > 0
		if n.Name == w.apps[0].Name && (n.Lost == 0 || n.Kept == 0) {
			t.Error("the dynos of an app are not spread")
		}
	}
	var spared, others []*faultApp
	for _, a := range w.apps {
		if kept[a.Name] {
			spared = append(spared, a)
		} else {
			others = append(others, a)
		}
	}
	served, moved := startLoad(w.faultWorld, spared), startLoad(w.faultWorld, others)
	time.Sleep(time.Second)
	killed := time.Now()
	if err := errors.Join(syscall.Kill(pid, syscall.SIGKILL), awaitGone([]int{pid})); err != nil {
		t.Fatal(err)
	}
	gone := time.Now() // and with it all that ran inside
	elsewhere := func() error {
		var found []map[string]any
		err := w.query(&found, `SELECT a.name, d.type, d.number, d.state, d.worker_id, w.seen_at FROM dynos d JOIN apps a ON a.id = d.app_id
			LEFT JOIN workers w ON w.id = d.worker_id WHERE d.state <> 'down' AND NOT a.system AND (d.state <> 'up' OR w.seen_at IS NULL OR w.seen_at < $1)`, gone)
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("dynos are not up on a runtime that is there: %v", found)
		}
		return err
	}
	if err := errors.Join(eventually(time.Minute, elsewhere), eventually(time.Minute, w.kept)); err != nil {
		t.Error(err)
	}
	back := time.Now()
	t.Logf("all dynos are up again after %s", back.Sub(killed).Round(10*time.Millisecond))
	w.invariants(t)
	served.mustBeWhole(t, killed, gone)
	moved.mustBeWhole(t, killed, back)
}

// probe asks all apps again and again until the function it returns is called, which
// returns for how long an app was not served, and when after a moment the last of the requests
// began that failed.
func (w *selfWorld) probe(since time.Time) (end func() (longest, last time.Duration)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var longest, last time.Duration
	for _, a := range w.apps {
		wg.Go(func() {
			served := since
			for {
				select {
				case <-done:
					mu.Lock()
					longest = max(longest, time.Since(served))
					mu.Unlock()
					return
				case <-time.After(50 * time.Millisecond):
				}
				begun := time.Since(since)
				code, _, err := w.get(a.Name, "/") // the router has it wait if that helps
				mu.Lock()
				if err != nil || code != http.StatusOK {
					last = max(last, begun)
				} else {
					longest, served = max(longest, time.Since(served)), time.Now()
				}
				mu.Unlock()
			}
		})
	}
	return func() (time.Duration, time.Duration) {
		time.Sleep(2 * time.Second)
		close(done)
		wg.Wait()
		return longest, last
	}
}
