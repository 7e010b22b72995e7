package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// load asks the apps for their page, ten times a second each, and notes every
// request that failed.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	total int
	bad   []failure
}

type failure struct {
	at   time.Time // begin of the request
	took time.Duration
	app  string
	what string
}

func (f failure) String() string {
	return fmt.Sprintf("%s %s after %s: %s", f.at.Format("15:04:05.000"), f.app, f.took.Round(time.Millisecond), f.what)
}

func startLoad(w *faultWorld, apps []*faultApp) *load {
	l := &load{stop: make(chan struct{})}
	for _, a := range apps {
		// Half of the requests come over connections that are kept.
		kept := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
		fresh := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		l.wg.Go(func() {
			defer kept.CloseIdleConnections()
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
				client := kept
				if i%2 == 0 {
					client = fresh
				}
				l.wg.Go(func() { l.request(client, w, a) })
			}
		})
	}
	return l
}

func (l *load) request(client *http.Client, w *faultWorld, a *faultApp) {
	r, _ := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/", w.HTTP), nil)
	r.Host = fmt.Sprintf("%s.localhost:%d", a.Name, w.HTTP)
	begun := time.Now()
	what := ""
	resp, err := client.Do(r)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			what = fmt.Sprintf("%s %.300s", resp.Status, body)
		}
	}
	if err != nil {
		what = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	if what != "" {
		l.bad = append(l.bad, failure{begun, time.Since(begun), a.Name, what})
	}
}

// end stops the load and returns what failed.
func (l *load) end() []failure {
	close(l.stop)
	l.wg.Wait()
	return l.bad
}

// mustBeWhole ends the load; no request may have failed that did not touch the
// time between from and to.
func (l *load) mustBeWhole(t *testing.T, from, to time.Time) {
	t.Helper()
	var bad []string
	excused := 0
	for _, f := range l.end() {
		if f.at.Before(to) && f.at.Add(f.took).After(from) {
			excused++
		} else {
			bad = append(bad, f.String())
		}
	}
	t.Logf("%d requests, %d failed while nobody listened, %d otherwise", l.total, excused, len(bad))
	if len(bad) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", len(bad), l.total, strings.Join(bad[:min(len(bad), 20)], "\n"))
	}
}
