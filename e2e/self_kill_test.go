package e2e

import (
	"fmt"
	"net/http"
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
			var outage func() time.Duration
			if name == "runtime" {
				outage = w.probe(killed)
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
			if outage != nil {
				took := outage()
				t.Logf("the last request that was not answered at once began %s after the kill", took.Round(10*time.Millisecond))
				if took > 10*time.Second {
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
}

// probe asks all apps again and again, without patience, until the function it returns is
// called, which returns when after a moment the last of the requests began that failed.
func (w *selfWorld) probe(since time.Time) (end func() time.Duration) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var last time.Duration
	client := http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, a := range w.apps {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
				begun := time.Since(since)
				r, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/", w.HTTP), nil)
				r.Host = fmt.Sprintf("%s.localhost:%d", a.Name, w.HTTP)
				resp, err := client.Do(r)
				if err == nil {
					resp.Body.Close()
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					mu.Lock()
					last = max(last, begun)
					mu.Unlock()
				}
			}
		})
	}
	return func() time.Duration {
		time.Sleep(2 * time.Second)
		close(done)
		wg.Wait()
		return last
	}
}
