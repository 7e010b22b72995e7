package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a TCP proxy that can fail.
type wire struct {
	target string
	l      net.Listener

	mu     sync.Mutex
	state  wireState
	conns  map[net.Conn]bool
	budget int64 // bytes towards the target until the wire is cut; < 0 for no end
}

type wireState int

const (
	wireWhole wireState = iota
	wireCut             // connections are closed, new ones too
	wireDead            // nothing passes, and nobody is told
)

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: target, l: l, conns: map[net.Conn]bool{}, budget: -1}
	t.Cleanup(func() { l.Close(); w.set(wireCut) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *wire) addr() string { return w.l.Addr().String() }
func (w *wire) port() int    { return w.l.Addr().(*net.TCPAddr).Port }

// set changes what becomes of connections; a dead wire's are closed when it
// is whole again, as they would have been by time-outs in the end.
func (w *wire) set(s wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.state
	w.state = s
	if s == wireCut || was == wireDead {
		for c := range w.conns {
			c.Close()
		}
	}
}

func (w *wire) is() wireState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *wire) carry(client net.Conn) {
	w.mu.Lock()
	w.conns[client] = true
	cut := w.state == wireCut
	w.mu.Unlock()
	defer func() {
		client.Close()
		w.mu.Lock()
		delete(w.conns, client)
		w.mu.Unlock()
	}()
	if cut {
		return
	}
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		w.pump(client, server, false)
		client.Close()
	}()
	w.pump(server, client, true)
}

func (w *wire) pump(to, from net.Conn, counted bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for w.is() == wireDead {
			time.Sleep(50 * time.Millisecond)
		}
		if counted && !w.spend(n) {
			return
		}
		if _, e := to.Write(buf[:n]); e != nil || err != nil {
			return
		}
	}
}

// spend reports whether n bytes more may pass.
func (w *wire) spend(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.budget < 0 {
		return true
	}
	w.budget -= int64(n)
	if w.budget < 0 {
		w.budget = 0
		return false
	}
	return true
}

func (w *wire) limit(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget = bytes
}

// The bus, and then the blob store, are away for up to half a minute: their
// connections are refused, or silent. Apps serve, what is asked for is done or said to have
// failed, and nothing of it is lost.
func TestFaultBusAndBlobsAway(t *testing.T) {
	w := newFaultWorld(t, 3)
	bus, blobs := w.wired(t, "NATS_URL"), w.wired(t, "BLOB_URL")
	w.apart(t, false)
	if err := errors.Join(w.apps[2].scale("worker", 1), w.apps[2].awaitWorker()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		wire  *wire
		state wireState
		limit time.Duration
	}{
		{"bus refused", bus, wireCut, 30 * time.Second}, {"bus silent", bus, wireDead, 15 * time.Second},
		{"blobs refused", blobs, wireCut, 15 * time.Second}, {"blobs silent", blobs, wireDead, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) { w.outage(t, c.wire, c.state, c.limit) })
	}
}

func (w *faultWorld) outage(t *testing.T, wire *wire, state wireState, limit time.Duration) {
	l := startLoad(w, w.apps)
	tail := w.apps[2].startTail(t)
	time.Sleep(time.Second)
	begun := time.Now()
	wire.set(state)
	var wg sync.WaitGroup
	var out string
	var pushErr error
	var pushed time.Duration
	wg.Go(func() {
		out, pushErr = w.apps[0].push(w.apps[0].sshURL(), nil)
		pushed = time.Since(begun)
	})
	if err := w.apps[1].mustSet(); err != nil {
		t.Errorf("a config change during the outage: %v", err)
	}
	t.Logf("config changed after %s", time.Since(begun).Round(time.Millisecond))
	want := 3 - w.apps[1].webs()
	if err := w.apps[1].scale("web", want); err != nil {
		t.Errorf("scaling during the outage: %v", err)
	}
	if err := eventually(limit-5*time.Second, w.apps[1].serving); err != nil {
		t.Errorf("a change took no effect during the outage: %v", err)
	}
	t.Logf("and serves after %s", time.Since(begun).Round(time.Millisecond))
	time.Sleep(time.Until(begun.Add(limit)))
	wire.set(wireWhole)
	wg.Wait()
	t.Logf("the push ended after %s: %v", pushed.Round(time.Millisecond), pushErr)
	if pushErr != nil {
		t.Logf("it said:\n%s", out)
		if !strings.Contains(out, " ! ") {
			t.Error("which is no reason")
		}
		if out, err := w.apps[0].pushAgain(); err != nil {
			t.Errorf("pushed again: %v\n%s", err, out)
		}
	}
	w.invariants(t)
	l.mustBeWhole(t, time.Time{}, time.Time{})
	time.Sleep(2 * time.Second)
	if err := gapless(counts(tail.stop())); err != nil {
		t.Errorf("the tail is not whole: %v", err)
	}
	log, err := w.apps[2].log()
	if err := errors.Join(err, gapless(counts(log))); err != nil {
		t.Errorf("the log is not whole: %v", err)
	}
}

// wired puts a wire between the components and a part of the ground.
func (w *faultWorld) wired(t *testing.T, variable string) *wire {
	t.Helper()
	var between *wire
	for _, name := range componentNames {
		env, err := w.hoist("seed", "env", name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(env) {
			value, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"=")
			if !ok {
				continue
			}
			u, err := url.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			if between == nil {
				between = newWire(t, u.Host)
			}
			u.Host = between.addr()
			w.env[name] = append(w.env[name], variable+"="+u.String())
		}
	}
	return between
}

// A push is cut off in the midst of its pack. It changes nothing, and the next
// one works.
func TestFaultHalfAPush(t *testing.T) {
	w := newFaultWorld(t, 1)
	a := w.apps[0]
	for _, c := range []struct {
		name, url string
		port      int
	}{
		{"ssh", "ssh://git@localhost:%d/%s.git", w.SSH},
		{"https", "https://git.localhost:%d/%s.git", w.HTTPS},
		{"http", "http://git.localhost:%d/%s.git", w.HTTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := newWire(t, fmt.Sprintf("127.0.0.1:%d", c.port))
			through := fmt.Sprintf(c.url, wire.port(), a.Name)
			for _, bytes := range []int64{3_000, 50_000, 1_000_000, 1_900_000} {
				big := make([]byte, 2<<20)
				rand.Read(big)
				if err := os.WriteFile(filepath.Join(a.dir, "big"), big, 0o644); err != nil {
					t.Fatal(err)
				}
				before := a.history(t)
				wire.limit(bytes)
				if out, err := a.push(through, nil); err == nil {
					t.Fatalf("a push of 2 MB went through %d bytes:\n%s", bytes, out)
				}
				if after := a.history(t); before != after {
					t.Errorf("half a push changed %s to %s", before, after)
				}
			}
			wire.limit(-1)
			if out, err := a.git(nil, "push", through, "main"); err != nil {
				t.Fatalf("the whole push: %v\n%s", err, out)
			}
			if out, err := a.pushAgain(); err != nil { // notes what is up to date
				t.Fatalf("%v\n%s", err, out)
			}
			w.invariants(t)
		})
	}
}

// history is what a push changes.
func (a *faultApp) history(t *testing.T) string {
	t.Helper()
	var rows []struct{ H string }
	err := a.w.query(&rows, `SELECT concat_ws(' ', refs, packs, generation, (SELECT count(*) FROM releases WHERE app_id = a.id),
		(SELECT count(*) FROM builds WHERE app_id = a.id)) AS h FROM apps a LEFT JOIN repos r ON r.app_id = a.id WHERE name = $1`, a.Name)
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	return rows[0].H
}

// Twenty apps are pushed at once.
func TestFaultTwentyPushesAtOnce(t *testing.T) {
	w := newFaultWorld(t, 0)
	for range 20 {
		w.newApp(t)
	}
	begun := time.Now()
	eachApp(t, w.apps, func(a *faultApp) error {
		out, err := a.push(a.sshURL(), nil)
		if err == nil {
			return nil
		}
		if !strings.Contains(out, " ! ") {
			return fmt.Errorf("a push failed and did not say why: %w\n%s", err, out)
		}
		t.Logf("a push failed, and said:\n%s", out)
		if out, err = a.pushAgain(); err != nil {
			return fmt.Errorf("pushed again: %w\n%s", err, out)
		}
		return nil
	})
	t.Logf("20 pushes in %s", time.Since(begun).Round(100*time.Millisecond))
	w.invariants(t)
}
