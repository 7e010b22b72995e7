package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hoist-sh/hoist"
)

// sink takes lines with their places: "5 text".
type sink struct {
	mu      sync.Mutex
	lines   []string
	source  hoist.ID
	lost    int
	flushes chan struct{} // each lets one Flush through; all, if it is nil or closed
}

func (s *sink) Line(at hoist.Place, line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%d %s", at.End, line))
	s.source = at.Source
}

func (s *sink) Flush(ctx context.Context) error {
	if s.flushes == nil {
		return nil
	}
	select {
	case <-s.flushes:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) Lost(n int) { s.lost += n }

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "|")
}

// until runs the output until the sink has all lines, then stops it.
func (s *sink) until(t *testing.T, o *output, want ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.lines(ctx, s) }()
	all := strings.Join(want, "|")
	for deadline := time.Now().Add(20 * time.Second); s.String() != all && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if got := s.String(); got != all {
		t.Errorf("got %.300s, want %.300s", got, all)
	}
}

func newOutput(t *testing.T) (dir string, container *os.File) {
	t.Helper()
	dir = t.TempDir()
	o, container, err := makeOutput(dir, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	o.close()
	t.Cleanup(func() { container.Close() })
	return dir, container
}

// next is the output for the next process.
func next(t *testing.T, dir string) *output {
	t.Helper()
	o, err := openOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.close)
	return o
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLinesStayInThePipeUntilTheyAreFlushed(t *testing.T) {
	dir, container := newOutput(t)
	write(t, container, "one\ntwo\r\nthr")
	stuck := &sink{flushes: make(chan struct{})}
	stuck.until(t, next(t, dir), "4 one", "9 two")
	var first, second sink
	first.until(t, next(t, dir), "4 one", "9 two")
	write(t, container, "ee\n")
	second.until(t, next(t, dir), "15 three")
	if stuck.source == "" || stuck.source != first.source || first.source != second.source {
		t.Errorf("sources %q, %q, %q", stuck.source, first.source, second.source)
	}
	other, _ := newOutput(t)
	if o := next(t, other); o.mark.Source == first.source {
		t.Error("two outputs are one source")
	}
}

// A dyno that writes a line at a time does not cost a look at its pipe for each.
func TestLinesThatComeOneByOneAreTakenTogether(t *testing.T) {
	dir, container := newOutput(t)
	const n = 200
	var want []string
	go func() {
		for i := range n {
			fmt.Fprintf(container, "%03d\n", i)
			time.Sleep(time.Millisecond)
		}
	}()
	for i := range n {
		want = append(want, fmt.Sprintf("%d %03d", 4*(i+1), i))
	}
	s := sink{flushes: make(chan struct{}, 10*n)}
	for range 10 * n {
		s.flushes <- struct{}{}
	}
	s.until(t, next(t, dir), want...)
	if looks := 10*n - len(s.flushes); looks > n/4 {
		t.Errorf("%d lines cost %d looks", n, looks)
	}
}

// The process is killed while lines leave the pipe: before they have, or after.
func TestAKillBetweenTheLines(t *testing.T) {
	for _, gone := range []bool{false, true} {
		for _, behind := range []string{"", "three\nfour\n"} {
			dir, container := newOutput(t)
			write(t, container, "one\ntwo\n")
			o := next(t, dir)
			if _, err := o.pretend(len("one\ntwo\n"), gone); err != nil {
				t.Fatal(err)
			}
			write(t, container, behind)
			var rest sink
			if behind != "" {
				rest.until(t, next(t, dir), "14 three", "19 four")
			} else {
				rest.until(t, next(t, dir))
			}
			write(t, container, "last\n")
			var last sink
			last.until(t, next(t, dir), fmt.Sprintf("%d last", len("one\ntwo\n")+len(behind)+len("last\n")))
		}
	}
}

// pretend does what a watcher does with n bytes that are in the pipe until it is killed.
func (o *output) pretend(n int, gone bool) (seen []byte, err error) {
	conn, err := o.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.openCopy(), conn.Control(func(fd uintptr) {
		if seen, err = o.peek(int(fd)); err != nil {
			return
		}
		o.taking(seen[:n], nil)
		if gone {
			err = discard(int(fd), seen[:n])
		}
	})); err != nil {
		return nil, err
	}
	o.closeCopy()
	return seen, err
}

// The start of a long line leaves the pipe before its end is there.
func TestTheStartOfALineOutlivesAKill(t *testing.T) {
	dir, container := newOutput(t)
	long := strings.Repeat("x", 6000)
	write(t, container, "one\n"+long)
	var first, second sink
	first.until(t, next(t, dir), "4 one")
	o := next(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.lines(ctx, &first) }()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		o.mu.Lock()
		carried := len(o.mark.Carry)
		o.mu.Unlock()
		if carried == len(long) {
			break
		}
	}
	cancel()
	<-done
	write(t, container, "y\nmore\n")
	second.until(t, next(t, dir), fmt.Sprintf("6006 %sy", long), "6011 more")
}

// Who writes does not wait for a bus that is away. What a kill costs then is counted.
func TestLinesDoNotWaitForLong(t *testing.T) {
	dir, container := newOutput(t)
	write(t, container, "one\n")
	away := &sink{flushes: make(chan struct{})}
	o := next(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.lines(ctx, away) }()
	waiting := func() int {
		var m mark
		kept := next(t, dir)
		m = kept.mark
		return m.Waiting
	}
	await := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); waiting() != n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d lines wait, not %d", waiting(), n)
			}
		}
	}
	await(1)
	begin := time.Now()
	for range 50 {
		write(t, container, strings.Repeat("x", 9999)+"\n") // more than a pipe has room for
	}
	await(51)
	if took := time.Since(begin); took > 50*flushWait/2 {
		t.Errorf("it took %s", took)
	}
	close(away.flushes) // the bus is back
	await(0)
	cancel()
	<-done

	write(t, container, "two\n")
	away = &sink{flushes: make(chan struct{})}
	o, ctx = next(t, dir), t.Context()
	go o.lines(ctx, away)
	await(1)
	o.close() // it is killed
	write(t, container, "three\n")
	var after sink
	after.until(t, next(t, dir), "500014 three")
	if after.lost != 1 {
		t.Errorf("%d lines lost, of 1", after.lost)
	}
	var later sink
	if later.until(t, next(t, dir)); later.lost != 0 {
		t.Error("said twice")
	}
}

func TestLongLinesAreCutBetweenCharacters(t *testing.T) {
	dir, container := newOutput(t)
	line := strings.Repeat("é", hoist.LogLineLimit) // twice as long; and an odd beginning
	write(t, container, "x"+line+"\n")
	var got sink
	got.until(t, next(t, dir), cutAt(line)...)
	if diff := cmp.Diff(len(got.lines), 3); diff != "" {
		t.Error(diff)
	}
}

// cutAt is how "x" and line are cut, each with its place.
func cutAt(line string) (parts []string) {
	text, at := "x"+line, 0
	for len(text) > hoist.LogLineLimit {
		n := hoist.LogLineLimit - 1
		at += n
		parts = append(parts, fmt.Sprintf("%d %s", at, text[:n]))
		text = text[n:]
		if len(text) > hoist.LogLineLimit { // now it is even
			n = hoist.LogLineLimit
			at += n
			parts = append(parts, fmt.Sprintf("%d %s", at, text[:n]))
			text = text[n:]
		}
	}
	return append(parts, fmt.Sprintf("%d %s", at+len(text)+1, text))
}
