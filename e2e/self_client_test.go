package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// selfClient uses the platform in all ways at once, and notes every failure.
type selfClient struct {
	w    *selfWorld
	http *load
	tail *tail
	done chan struct{}
	wg   sync.WaitGroup

	// session is how long a WebSocket stays open, and how long an attached run
	// counts; then the next begins.
	session time.Duration

	mu                              sync.Mutex
	bad                             []string
	pushes, runs, sockets, messages int
	pushed, counted                 int // pieces of what pushes and attached runs have said so far
}

// startClient begins to use the platform: requests to all apps, pushes of the
// first, WebSockets and attached runs of the second, a log tail of the third.
func (w *selfWorld) startClient(t *testing.T, session time.Duration) *selfClient {
	t.Helper()
	tailed := w.apps[2]
	if err := tailed.scale("worker", 1); err != nil {
		t.Fatal(err)
	}
	if err := eventually(time.Minute, func() error {
		out, err := tailed.log()
		if err == nil && len(counting(out)) == 0 {
			err = errors.New("the worker does not count")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c := &selfClient{w: w, http: startLoad(w.faultWorld, w.apps), tail: tailed.startTail(t), done: make(chan struct{}), session: session}
	c.wg.Go(c.push)
	c.wg.Go(c.speak)
	c.wg.Go(c.run)
	if err := eventually(2*time.Minute, func() error {
		for what, n := range c.uses() {
			if n == 0 {
				return fmt.Errorf("there is no %s yet", what)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
		c.mustBeWhole(t)
		t.FailNow()
	}
	return c
}

// uses is what has come so far of each way in which the client uses the platform.
func (c *selfClient) uses() map[string]int {
	c.http.mu.Lock()
	requests := c.http.total
	c.http.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]int{"request": requests, "message over a WebSocket": c.messages, "output of a push": c.pushed,
		"line of an attached run": c.counted, "line of a log tail": strings.Count(c.tail.out.String(), "\n")}
}

// usedSince checks that all of it was under way since then.
func (c *selfClient) usedSince(t *testing.T, before map[string]int) {
	t.Helper()
	for what, n := range c.uses() {
		if n == before[what] {
			t.Errorf("meanwhile there was no %s", what)
		}
	}
}

// heard counts what is said.
func (c *selfClient) heard(n *int) func(string) {
	return func(string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		*n++
	}
}

func (c *selfClient) note(n *int, what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
	if err != nil {
		c.bad = append(c.bad, fmt.Sprintf("%s %s: %v", time.Now().Format("15:04:05.000"), what, err))
	}
}

func (c *selfClient) stopped() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// push pushes again and again, by SSH and by HTTPS.
func (c *selfClient) push() {
	a := c.w.apps[0]
	for i := 0; !c.stopped(); i++ {
		url := a.sshURL()
		if i%2 == 1 {
			url = fmt.Sprintf("https://git.localhost:%d/%s.git", c.w.HTTPS, a.Name)
		}
		begun := time.Now()
		out, err := a.push(url, c.heard(&c.pushed))
		if err != nil {
			err = fmt.Errorf("%s, begun at %s: %w\n%s", url, begun.Format("15:04:05.000"), err, out)
			a.pushAgain()
		}
		c.note(&c.pushes, "push", err)
		select {
		case <-c.done:
		case <-time.After(2 * time.Second):
		}
	}
}

// run counts in attached dynos.
func (c *selfClient) run() {
	steps := int(c.session / (200 * time.Millisecond))
	for !c.stopped() {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), c.session+2*time.Minute)
		out := &heardBuffer{heard: c.heard(&c.counted)}
		cmd := c.w.apps[1].cli(ctx, "run", fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo at $i; sleep 0.2; done; exit 7", steps))
		cmd.Stdout, cmd.Stderr = out, out
		err := cmd.Run()
		cancel()
		c.note(&c.runs, "run", ranWhole(out.String(), err, steps, begun))
	}
}

func ranWhole(out string, err error, steps int, begun time.Time) error {
	said := fmt.Sprintf("begun at %s, ended after %s", begun.Format("15:04:05.000"), time.Since(begun).Round(100*time.Millisecond))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		return fmt.Errorf("%s with %v, not 7, saying:\n%s", said, err, lastLines(out, 5))
	}
	n := 0
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "at "); ok {
			if n++; rest != strconv.Itoa(n) {
				return fmt.Errorf("%s, and %q came instead of %d", said, rest, n)
			}
		}
	}
	if n != steps {
		return fmt.Errorf("%s, and counted to %d", said, n)
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// speak keeps WebSockets open and has messages echoed.
func (c *selfClient) speak() {
	for !c.stopped() {
		begun := time.Now()
		err := c.socket()
		if err != nil {
			err = fmt.Errorf("open since %s: %w", begun.Format("15:04:05.000"), err)
			time.Sleep(500 * time.Millisecond)
		}
		c.note(&c.sockets, "WebSocket", err)
	}
}

func (c *selfClient) socket() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.session+time.Minute)
	defer cancel()
	begun := time.Now()
	conn, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/", c.w.HTTP),
		&websocket.DialOptions{Host: fmt.Sprintf("%s.localhost:%d", c.w.apps[1].Name, c.w.HTTP)})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for n := 1; time.Since(begun) < c.session && !c.stopped(); n++ {
		text := fmt.Sprint("message ", n)
		sent, cancel := context.WithTimeout(ctx, 45*time.Second)
		err := conn.Write(sent, websocket.MessageText, []byte(text))
		var answer []byte
		if err == nil {
			_, answer, err = conn.Read(sent)
		}
		cancel()
		if err == nil && string(answer) != text {
			err = fmt.Errorf("the answer is %q", answer)
		}
		if err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		c.note(&c.messages, "message", nil)
		time.Sleep(200 * time.Millisecond)
	}
	return conn.Close(websocket.StatusNormalClosure, "")
}

// mustBeWhole ends it; nothing may have failed.
func (c *selfClient) mustBeWhole(t *testing.T) {
	t.Helper()
	close(c.done)
	c.wg.Wait()
	// The tail's last lines are on their way. What is missing in its midst never comes.
	eventually(30*time.Second, func() error { return wholeCounts(c.tail.out.String(), true) })
	select {
	case <-c.tail.done:
		t.Error("the tail ended by itself")
	default:
	}
	lines := c.tail.stop()
	if err := wholeCounts(lines, true); err != nil {
		t.Errorf("the log tail is not whole: %v", err)
	}
	t.Logf("%d pushes, %d attached runs, %d WebSockets with %d messages, %d lines of a log tail, %d failures besides requests and the tail",
		c.pushes, c.runs, c.sockets, c.messages, strings.Count(lines, "\n"), len(c.bad))
	for _, b := range c.bad {
		t.Error(b)
	}
	c.http.mustBeWhole(t, time.Time{}, time.Time{})
}

// counted is a line of a worker: it has counted to n, or ended after that.
type counted struct {
	id   string
	n    int
	last bool
}

func counting(log string) (list []counted) {
	for line := range strings.Lines(log) {
		_, text, ok := strings.Cut(line, "app[worker.1]: ")
		f := strings.Fields(text)
		if !ok || len(f) != 3 || f[0] != "count" && f[0] != "last" {
			continue
		}
		if n, err := strconv.Atoi(f[2]); err == nil {
			list = append(list, counted{f[1], n, f[0] == "last"})
		}
	}
	return list
}

// wholeCounts checks a log tail: each process that stood behind worker.1 has
// counted without a gap and, but for the last one or if they were killed, to its end.
func wholeCounts(log string, ends bool) error {
	list := counting(log)
	if len(list) == 0 {
		return errors.New("nothing was logged")
	}
	at, ended, order := map[string]int{}, map[string]bool{}, []string{}
	var errs []error
	for _, c := range list {
		was, known := at[c.id]
		switch {
		case !known:
			if order = append(order, c.id); len(order) > 1 && c.n != 1 {
				errs = append(errs, fmt.Errorf("%.8s begins with %d", c.id, c.n))
			}
		case c.last && c.n != was && c.n != was+1: // the signal may come between counting and saying so
			errs = append(errs, fmt.Errorf("%.8s ended after %d, and the last line was %d", c.id, c.n, was))
		case !c.last && c.n != was+1:
			errs = append(errs, fmt.Errorf("%.8s: after %d comes %d", c.id, was, c.n))
		}
		at[c.id], ended[c.id] = c.n, ended[c.id] || c.last
	}
	for _, id := range order[:len(order)-1] {
		if ends && !ended[id] {
			errs = append(errs, fmt.Errorf("%.8s was at %d, and its end is missing", id, at[id]))
		}
	}
	return errors.Join(errs...)
}
