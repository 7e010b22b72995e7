package e2e

import (
	"fmt"
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
			if name == "runtime" {
				if err := awaitGone([]int{pid}); err != nil {
					t.Fatal(err)
				}
				for _, a := range w.apps {
					if err := eventually(30*time.Second, a.serving); err != nil {
						t.Error(err)
					}
				}
				took := time.Since(killed)
				t.Logf("all apps serve again after %s", took.Round(10*time.Millisecond))
				if took > 10*time.Second {
					t.Error("which is too long")
				}
			}
			if err := eventually(30*time.Second, func() error {
				now, err := w.systemDyno(name)
				if err == nil && now == pid {
					err = fmt.Errorf("%s is still process %d", name, pid)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
			t.Logf("%s is up again after %s", name, time.Since(killed).Round(10*time.Millisecond))
			if err := w.awaitSettled(30*time.Second, 0); err != nil {
				t.Error(err)
			}
			excused := killed // requests that the router had in hand
			if name == "runtime" {
				excused = time.Now()
			}
			l.mustBeWhole(t, killed, excused)
			w.invariants(t)
		})
	}
}
