package e2e

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each component is killed while a push, a boot, an attached run, a log tail, a
// config change and requests are under way, and is started again.
func TestFaultComponentsKilled(t *testing.T) {
	w := newFaultWorld(t, 3)
	w.apart(t, true)
	w.invariants(t)
	for _, name := range componentNames {
		moments := []string{"", "app detected", "Launching..."}
		for _, moment := range moments {
			label := name + " at " + strings.Trim(strings.ReplaceAll(moment, " ", "-"), ".")
			t.Run(label, func(t *testing.T) { w.killDuringAll(t, name, moment) })
		}
	}
}

// killDuringAll kills a component when a push has shown the given text.
func (w *faultWorld) killDuringAll(t *testing.T, name, moment string) {
	pushed, booted, tailed := w.apps[0], w.apps[1], w.apps[2]
	if err := tailed.scale("worker", 1); err != nil {
		t.Fatal(err)
	}
	if err := tailed.awaitWorker(); err != nil {
		t.Fatal(err)
	}
	l := startLoad(w, w.apps)
	tail := tailed.startTail(t)
	ran := make(chan runResult, 1)
	go func() { ran <- tailed.attached("sleep 3; echo it is done; exit 7") }()
	time.Sleep(time.Second) // both are under way

	var wg sync.WaitGroup
	reached := make(chan struct{})
	var once sync.Once
	var pushOut string
	var pushErr, scaleErr, setErr error
	wg.Go(func() {
		pushOut, pushErr = pushed.push(pushed.sshURL(), func(out string) {
			if moment != "" && strings.Contains(out, moment) {
				once.Do(func() { close(reached) })
			}
		})
		once.Do(func() { close(reached) })
	})
	if moment == "" {
		time.AfterFunc(300*time.Millisecond, func() { once.Do(func() { close(reached) }) })
	}
	select {
	case <-reached:
	case <-time.After(60 * time.Second):
		t.Error("the push does not get that far")
	}
	wg.Go(func() { scaleErr = booted.scale("web", 3-booted.webs()) })
	wg.Go(func() { setErr = booted.mustSet() })
	time.Sleep(100 * time.Millisecond)

	killed := time.Now()
	w.procs[name].kill()
	time.Sleep(500 * time.Millisecond)
	if err := w.run(name); err != nil {
		t.Fatal(err)
	}
	if err := w.awaitReady(name, killed); err != nil {
		t.Error(err)
	}
	back := time.Now()
	wg.Wait()
	t.Logf("ready again after %s, push ended after %s", back.Sub(killed).Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	if err := errors.Join(scaleErr, setErr); err != nil {
		t.Error(err)
	}
	if pushErr != nil {
		if name != "git" { // which had the connection
			t.Errorf("the push failed: %v\n%s", pushErr, pushOut)
		}
		if out, err := pushed.pushAgain(); err != nil {
			t.Errorf("pushed again: %v\n%s", err, out)
		}
	}
	r := <-ran
	if lost := name == "router" || name == "runtime"; !lost && (r.code != 7 || !strings.Contains(r.out, "it is done")) {
		t.Errorf("the run ended with %d: %s", r.code, r.out)
	}
	if name != "router" {
		killed, back = time.Time{}, time.Time{} // nothing is excused
	}
	l.mustBeWhole(t, killed, back)
	time.Sleep(time.Second)
	if err := gapless(counts(tail.stop())); err != nil {
		t.Errorf("the tail is not whole: %v", err)
	}
	w.invariants(t)
}

// webs is the wanted number of web dynos.
func (a *faultApp) webs() int {
	var f []struct{ Quantity int }
	a.w.query(&f, `SELECT quantity FROM formation f JOIN apps a ON a.id = f.app_id WHERE a.name = $1 AND type = 'web'`, a.Name)
	if len(f) == 0 {
		return 0
	}
	return f[0].Quantity
}

// awaitWorker waits until the worker's counting shows in the log.
func (a *faultApp) awaitWorker() error {
	return eventually(30*time.Second, func() error {
		out, err := a.log()
		if err == nil && len(counts(out)) == 0 {
			err = errors.New("the worker does not count")
		}
		return err
	})
}

// log is the output of the app's worker.
func (a *faultApp) log() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := a.cli(ctx, "logs", "-n", "1500", "-d", "worker.1").CombinedOutput()
	return string(out), err
}

type runResult struct {
	code int
	out  string
	took time.Duration
}

// attached runs a command in an attached dyno.
func (a *faultApp) attached(command string) runResult {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	begun := time.Now()
	out, err := a.cli(ctx, "run", command).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return runResult{exit.ExitCode(), string(out), time.Since(begun)}
	}
	return runResult{0, string(out), time.Since(begun)}
}

// tail is a `hoist logs --tail` under way.
type tail struct {
	cancel context.CancelFunc
	done   chan struct{}
	out    *heardBuffer
}

func (a *faultApp) startTail(t *testing.T) *tail {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tl := &tail{cancel: cancel, done: make(chan struct{}), out: &heardBuffer{}}
	cmd := a.cli(ctx, "logs", "--tail", "-n", "1", "-d", "worker.1")
	cmd.Stdout, cmd.Stderr = tl.out, tl.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(tl.done) }()
	return tl
}

func (tl *tail) stop() string {
	tl.cancel()
	<-tl.done
	return tl.out.String()
}
