package runtime_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/runtime"
)

// counting is the log of an app whose dyno counts.
type counting struct {
	t        *testing.T
	messages <-chan hoist.Message
	next     int    // the number that is to come
	said     string // of the platform, last
}

// read takes lines for so long; when a number is not the one that was to come,
// wrong is called.
func (c *counting) read(d time.Duration, wrong func(n int)) {
	c.t.Helper()
	missed := 0 // on a busy machine more may come at once than the stream keeps
	for end := time.After(d); ; {
		select {
		case m := <-c.messages:
			var l hoist.LogLine
			if err := json.Unmarshal(m.Data, &l); err != nil {
				c.t.Fatal(err)
			}
			if missed += m.Missed; l.Source == "heroku" {
				c.said = l.Text
			}
			number, ok := strings.CutPrefix(l.Text, "count ")
			if n, err := strconv.Atoi(number); ok && err == nil {
				if n < c.next || n > c.next+missed {
					wrong(n)
				}
				c.next, missed = n+1, 0
			}
		case <-end:
			return
		}
	}
}

// lost is how many lines the platform has said to be lost, at most.
func (c *counting) lost() (n int) {
	fmt.Sscanf(c.said, "Error L10 (output buffer overflow): up to %d messages dropped", &n)
	return n
}

// startCounting starts a runtime process with a dyno that counts.
func startCounting(t *testing.T) (p *platform, a *app, log *counting, kill, start func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	p = newPlatform(t)
	dir := p.containers(t)
	end := p.process(t, dir)
	a = p.app(t)
	messages, err := p.tail.Tail(t.Context(), hoist.StreamLogs+a.id, true)
	if err != nil {
		t.Fatal(err)
	}
	a.deployImage(image(t), map[string]string{"worker": `APP=1 exec ./app count`})
	a.becomes("worker.1 up")
	return p, a, &counting{t: t, messages: messages}, func() { end() }, func() { end = p.process(t, dir) }
}

// A runtime is killed again and again, in the midst of a dyno's lines: none is
// doubled or out of order, and none is lost. On a machine so busy that storing them takes
// over a second some may be, and that is said.
func TestLinesOutliveTheirRuntime(t *testing.T) {
	_, _, log, kill, start := startCounting(t)
	wrong := func(n int) {
		if gap := n - log.next; gap < 0 || gap > log.lost() {
			t.Errorf("%d came for %d, said %q", n, log.next, log.said)
		}
		log.said = ""
	}
	for range 20 {
		log.read(300*time.Millisecond+rand.N(300*time.Millisecond), wrong)
		kill()
		start()
	}
	log.read(3*time.Second, wrong)
	t.Logf("%d lines", log.next)
	if log.next < 2000 {
		t.Errorf("%d lines only", log.next)
	}
}

// While the bus is away a dyno's lines wait in the runtime. If that is killed
// then, they are lost, which is said; what comes is in order all the same.
func TestLinesWhileTheBusIsAway(t *testing.T) {
	p, a, log, kill, start := startCounting(t)
	wrong := func(n int) { t.Errorf("%d came for %d", n, log.next) }
	log.read(time.Second, wrong)
	p.nats.Stop()
	time.Sleep(3 * time.Second)
	p.nats.Start()
	before := log.next
	log.read(3*time.Second, wrong)
	if log.next < before+500 {
		t.Errorf("%d lines only", log.next-before)
	}

	p.nats.Stop()
	time.Sleep(3 * time.Second)
	var gaps []int
	kill()
	p.nats.Start()
	start()
	for deadline := time.Now().Add(30 * time.Second); log.said == "" || len(gaps) == 0; {
		log.read(time.Second, func(n int) { gaps = append(gaps, n-log.next) })
		if time.Now().After(deadline) {
			t.Fatalf("gaps %v, said %q", gaps, log.said)
		}
		if !strings.Contains(log.said, "Error L10") {
			log.said = ""
		}
	}
	log.read(time.Second, wrong)
	if len(gaps) != 1 || gaps[0] < 1 || gaps[0] > log.lost() {
		t.Errorf("gaps %v, said %q", gaps, log.said)
	}
	t.Logf("%v lines missing, said %q", gaps, log.said)
	a.scale("worker", 0)
	a.becomes("")
}

// A runtime that ends between saying that a dyno has ended and writing it down
// leaves that to the next, which does not say it again.
func TestTheEndOfADynoIsSaidOnce(t *testing.T) {
	p := newPlatform(t)
	u, err := url.Parse(p.roles.URL(hoist.ComponentRuntime))
	if err != nil {
		t.Fatal(err)
	}
	p.wire = newWire(t, u.Host)
	e, dir := newHostEngine(t), t.TempDir()
	again := func(c *runtime.Config) { c.Dir = dir }
	stop := p.worker(t, e, again)
	a := p.app(t)
	a.deploy(map[string]string{"mortal": "exec sleep 1000"})
	a.becomes("mortal.1 up")
	p.wire.set(true)
	e.Signal(t.Context(), a.dynos()[0].ID, 9)
	a.logs("heroku[mortal.1]: State changed from up to crashed")
	stop()
	p.wire.set(false)
	p.worker(t, e, again)
	a.eventually("it is started again", func() bool { return e.started("mortal.1") == 2 })
	a.logs("heroku[mortal.1]: State changed from crashed to starting")
	a.becomes("mortal.1 up")
	times := func(line string) int { return strings.Count(a.log(), "heroku[mortal.1]: "+line+"\n") }
	a.eventually("it is said to be up again", func() bool { return times("State changed from starting to up") >= 2 })
	for line, want := range map[string]int{
		"Process exited with status 137": 1, "State changed from up to crashed": 1, "State changed from starting to up": 2,
	} {
		if n := times(line); n != want {
			t.Errorf("%q is there %d times, not %d:\n%s", line, n, want, a.log())
		}
	}
}
