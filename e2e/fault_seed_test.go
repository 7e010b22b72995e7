package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The seed is killed while a push, a boot, an attached run, a log tail and
// requests are under way. The dynos go on, with what they write kept, and the
// next seed takes everything over.
func TestFaultSeedKilled(t *testing.T) {
	w := newFaultWorld(t, 3)
	for _, moment := range []string{"", "app detected", "Launching..."} {
		t.Run("at "+strings.Trim(moment, "."), func(t *testing.T) { w.killSeedDuringAll(t, moment) })
	}
}

func (w *faultWorld) killSeedDuringAll(t *testing.T, moment string) {
	pushed, booted, still := w.apps[0], w.apps[1], w.apps[2]
	if err := errors.Join(still.scale("worker", 1), still.awaitWorker()); err != nil {
		t.Fatal(err)
	}
	w.invariants(t)
	before, err := still.processes()
	if err != nil || len(before) < 2 {
		t.Fatal(before, err)
	}
	log, _ := still.log()
	first := counts(log)[len(counts(log))-1]
	l := startLoad(w, w.apps)
	tail := still.startTail(t)
	ran := make(chan runResult, 1)
	go func() { ran <- still.attached("sleep 60") }()
	time.Sleep(time.Second)

	var wg sync.WaitGroup
	var once sync.Once
	reached := make(chan struct{})
	var out string
	var pushErr error
	wg.Go(func() {
		out, pushErr = pushed.push(pushed.sshURL(), func(out string) {
			if moment != "" && strings.Contains(out, moment) {
				once.Do(func() { close(reached) })
			}
		})
		once.Do(func() { close(reached) })
	})
	if moment == "" {
		time.AfterFunc(300*time.Millisecond, func() { once.Do(func() { close(reached) }) })
	}
	<-reached
	if err := booted.scale("web", 3-booted.webs()); err != nil {
		t.Error(err)
	}
	killed := time.Now()
	if err := w.killSeed(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // the dynos are alone
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	t.Logf("ready after %s", (back.Sub(killed) - 2*time.Second).Round(10*time.Millisecond))
	wg.Wait()
	if pushErr == nil && moment == "" {
		t.Errorf("the push went on without the seed:\n%s", out)
	}
	if pushErr != nil {
		if out, err := pushed.pushAgain(); err != nil {
			t.Errorf("pushed again: %v\n%s", err, out)
		}
	}
	if err := booted.mustSet(); err != nil {
		t.Error(err)
	}
	if r := <-ran; r.code == 0 {
		t.Errorf("the run ended well: %s", r.out)
	}
	l.mustBeWhole(t, killed, back)
	w.invariants(t)
	after, err := still.processes()
	if err != nil || !maps.Equal(before, after) {
		t.Errorf("the dynos' processes were %v and are %v, %v", before, after, err)
	}
	time.Sleep(time.Second)
	if err := gapless(counts(tail.stop())); err != nil {
		t.Errorf("the tail is not whole: %v", err)
	}
	log, err = still.log()
	if err := gapless(counts(log)); err != nil {
		t.Errorf("the log is not whole: %v", err)
	}
	if list := counts(log); len(list) > 0 && list[len(list)-1] < first+5 {
		t.Errorf("the log ends with %d and was at %d before: %v", list[len(list)-1], first, err)
	}
}

// processes are the first processes of the app's dynos, by dyno.
func (a *faultApp) processes() (map[string]int, error) {
	var dynos []struct{ ID string }
	if err := a.w.query(&dynos, `SELECT d.id FROM dynos d JOIN apps a ON a.id = d.app_id WHERE a.name = $1 AND d.state = 'up' AND d.kind = 'formation'`, a.Name); err != nil {
		return nil, err
	}
	first := map[string]int{}
	for _, d := range dynos {
		pids := a.w.cgroupPids(d.ID)
		i := slices.IndexFunc(pids, isFirst)
		if i < 0 {
			return nil, fmt.Errorf("dyno %s has no process", d.ID)
		}
		first[d.ID] = pids[i]
	}
	return first, nil
}

// isFirst reports whether a process is the first of its PID namespace. (Its number out here
// says nothing: they begin anew when they are used up.)
func isFirst(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return regexp.MustCompile(`(?m)^NSpid:.*\t1$`).Match(status)
}

// cgroupPids are a container's processes.
func (w *faultWorld) cgroupPids(id string) []int {
	return readPids(filepath.Join(w.cgroups(), w.containerName(id), "cgroup.procs"))
}

func readPids(file string) (pids []int) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killSeed kills the seed and waits until it is gone.
func (w *faultWorld) killSeed() error {
	pid, err := w.seedPID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return awaitGone([]int{pid})
}

func awaitGone(pids []int) error {
	return eventually(20*time.Second, func() error {
		for _, pid := range pids {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			// "PID (NAME) STATE …", see proc(5); a zombie holds nothing any more.
			if _, rest, ok := strings.Cut(string(stat), ") "); err == nil && ok && rest[0] != 'Z' {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// Everything of the platform is killed at once, dynos included. After a start
// all apps serve again by themselves.
func TestFaultEverythingKilledAtOnce(t *testing.T) {
	w := newFaultWorld(t, 5)
	for _, a := range w.apps {
		if err := errors.Join(a.mustSet(), a.scale("worker", 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.invariants(t)
	pids, err := w.allProcesses()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("killing %d processes, and those of a build", len(pids))
	half := make(chan struct{})
	go func() { w.apps[0].push(w.apps[0].sshURL(), nil); close(half) }()
	time.Sleep(700 * time.Millisecond)
	for range 2 { // what was started meanwhile, too
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if pids, err = w.allProcesses(); err != nil {
			t.Fatal(err)
		}
	}
	if err := awaitGone(pids); err != nil {
		t.Fatal(err)
	}
	<-half
	begun := time.Now()
	var ready time.Duration
	started := make(chan error, 1)
	go func() {
		err := w.start()
		ready = time.Since(begun)
		started <- err
	}()
	err = eventually(60*time.Second, func() error {
		code, body, err := w.get(w.apps[1].Name, "/")
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %.100s", code, body)
		}
		return err
	})
	first := time.Since(begun)
	if err := errors.Join(err, <-started); err != nil {
		t.Fatal(err)
	}
	t.Logf("started again: the first request was answered after %s, ready after %s", first.Round(10*time.Millisecond), ready.Round(10*time.Millisecond))
	if out, err := w.apps[0].pushAgain(); err != nil {
		t.Errorf("pushed again: %v\n%s", err, out)
	}
	w.invariants(t)
}

// allProcesses are those of the seed and all below it, and those of dynos.
func (w *faultWorld) allProcesses() ([]int, error) {
	var roots []int
	if pid, err := w.seedPID(); err == nil {
		roots = append(roots, keeperOf(pid)...) // before what it would start again
		roots = append(roots, pid)
	}
	if text, err := os.ReadFile(filepath.Join(w.Dir, "postgres/data/postmaster.pid")); err == nil {
		first, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(first); err == nil {
			roots = append(roots, pid)
		}
	}
	below := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // ended meanwhile
		}
		i := strings.LastIndex(string(text), ") ")
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		if f := strings.Fields(string(text[i+2:])); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			below[parent] = append(below[parent], pid)
		}
	}
	seen := map[int]bool{}
	var all []int
	var add func(pid int)
	add = func(pid int) {
		if !seen[pid] {
			seen[pid] = true
			all = append(all, pid)
			for _, child := range below[pid] {
				add(child)
			}
		}
	}
	for _, pid := range roots {
		add(pid)
	}
	groups, _ := filepath.Glob(filepath.Join(w.cgroups(), "*", "cgroup.procs"))
	for _, g := range groups {
		for _, pid := range readPids(g) {
			add(pid)
		}
	}
	return all, nil
}

// keeperOf is the process that would start a killed seed again, if there is one.
func keeperOf(seed int) []int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", seed))
	if err != nil {
		return nil
	}
	f := strings.Fields(string(stat[strings.LastIndex(string(stat), ") ")+2:]))
	args, _ := os.ReadFile("/proc/" + f[1] + "/cmdline")
	if pid, err := strconv.Atoi(f[1]); err == nil && strings.Contains(string(args), "--keep") {
		return []int{pid}
	}
	return nil
}

// Postgres is killed and brought back by the seed. No request to an app fails.
func TestFaultPostgresKilled(t *testing.T) {
	w := newFaultWorld(t, 3)
	if err := errors.Join(w.apps[2].scale("worker", 1), w.apps[2].awaitWorker()); err != nil {
		t.Fatal(err)
	}
	l := startLoad(w, w.apps)
	for range 2 {
		tail := w.apps[2].startTail(t)
		var wg sync.WaitGroup
		var out string
		var pushErr, setErr error
		wg.Go(func() { out, pushErr = w.apps[0].push(w.apps[0].sshURL(), nil) })
		time.Sleep(1200 * time.Millisecond)
		wg.Go(func() { setErr = w.apps[1].mustSet() })
		text, err := os.ReadFile(filepath.Join(w.Dir, "postgres/data/postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := eventually(30*time.Second, func() error { var x []any; return w.query(&x, `SELECT 1`) }); err != nil {
			t.Fatal(err)
		}
		t.Logf("Postgres is back after %s", time.Since(killed).Round(10*time.Millisecond))
		wg.Wait()
		if setErr != nil {
			t.Error(setErr)
		}
		if pushErr != nil {
			t.Logf("the push failed, and said: %s", out)
			if out, err := w.apps[0].pushAgain(); err != nil {
				t.Errorf("pushed again: %v\n%s", err, out)
			}
		}
		time.Sleep(2 * time.Second)
		if err := gapless(counts(tail.stop())); err != nil {
			t.Errorf("the tail is not whole: %v", err)
		}
		w.invariants(t)
	}
	l.mustBeWhole(t, time.Time{}, time.Time{})
}
