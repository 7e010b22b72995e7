package nats_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// wire stands between a client and the server.
type wire struct {
	l      net.Listener
	server string

	mu    sync.Mutex
	cut   bool // nobody gets through
	deaf  bool // what the server says is lost
	conns []net.Conn
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, server: server}
	t.Cleanup(func() { l.Close(); w.set(true, false) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.join(c)
		}
	}()
	return w
}

func (w *wire) join(client net.Conn) {
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		client.Close()
		return
	}
	w.mu.Lock()
	cut := w.cut
	w.conns = append(w.conns, client, server)
	w.mu.Unlock()
	if cut {
		client.Close()
		server.Close()
		return
	}
	go func() { io.Copy(server, client); server.Close() }()
	defer client.Close()
	for buf := make([]byte, 64<<10); ; {
		n, err := server.Read(buf)
		w.mu.Lock()
		deaf := w.deaf
		w.mu.Unlock()
		if !deaf {
			client.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) set(cut, deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.deaf = cut, deaf
	if cut {
		for _, c := range w.conns {
			c.Close()
		}
		w.conns = nil
	}
}

// through is a component's bus on the other side of the wire.
func (w *wire) through(t *testing.T, s *natstest.Server, component string) *nats.Bus {
	t.Helper()
	u, err := url.Parse(s.URL(component))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = w.l.Addr().String()
	bus, err := nats.Connect(u.String(), natstest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}

// streams are the server's own, seen past our package.
func streams(t *testing.T, s *natstest.Server) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(s.URL(nats.ComponentSeed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// forgetSoon makes the server forget after 100 ms which messages it has.
func forgetSoon(t *testing.T, s *natstest.Server, stream string) {
	t.Helper()
	js := streams(t, s)
	info, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := info.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// What was stored and not acknowledged is sent again after an outage, however
// long that was: longer than the server remembers what it has.
func TestALongOutageDoublesNothing(t *testing.T) {
	s := natstest.New(t)
	forgetSoon(t, s, "LOGS")
	logs := s.Bus(hoist.ComponentLogs)
	tail, err := logs.Tail(t.Context(), "logs.a", true)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, s.Addr())
	runtime := w.through(t, s, hoist.ComponentRuntime)
	appendAll(t, runtime, "logs.a", 0, 100)
	flush(t, runtime)
	w.set(false, true)
	appendAll(t, runtime, "logs.a", 100, 400)
	got := collect(t, tail, 400) // so they are stored
	w.set(true, true)
	time.Sleep(500 * time.Millisecond)
	appendAll(t, runtime, "logs.a", 400, 500)
	w.set(false, false)
	flush(t, runtime)
	same(t, append(got, collect(t, tail, 100)...), numbers(0, 500))
	same(t, history(t, logs, "logs.a"), numbers(0, 500))
}

// After an outage more comes at once than the stream keeps of an app, and some
// has left it before a tail comes to it.
func TestATailIsToldWhatItMissed(t *testing.T) {
	s := natstest.New(t)
	runtime, router, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentRouter), s.Bus(hoist.ComponentLogs)
	tail, err := logs.Tail(t.Context(), "logs.a", true)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, runtime, "logs.a", 0, 1)
	appendAll(t, router, "logs.a", 0, 1)
	collect(t, tail, 2)
	s.Stop()
	const each = 2 * hoist.LogKeep
	long := strings.Repeat("x", 5000) // goes alone
	for i := range each {
		for bus, who := range map[*nats.Bus]string{runtime: "runtime ", router: "router "} {
			if !bus.Append("logs.a", fmt.Append([]byte(who), i, " ", long)) {
				t.Fatal("no room")
			}
			bus.Append("logs.b", []byte("another's"))
		}
	}
	s.Start()
	flush(t, runtime)
	flush(t, router)
	runtime.Append("logs.a", []byte("last"))
	router.Append("logs.a", []byte("last"))
	got, missed, last := 0, 0, map[string]int{}
	for ends := 0; ends < 2; got++ {
		m := receive(t, tail)
		missed += m.Missed
		if string(m.Data) == "last" {
			ends++
			continue
		}
		who, number, _ := strings.Cut(strings.TrimSuffix(string(m.Data), " "+long), " ")
		if n, err := strconv.Atoi(number); err != nil || got > 0 && n < last[who] {
			t.Fatalf("%s came after %d", m.Data, last[who])
		} else {
			last[who] = n
		}
	}
	t.Logf("%d messages, %d missed", got, missed)
	if got+missed != 2*each+2 || missed == 0 {
		t.Errorf("%d messages and %d missed are not %d", got, missed, 2*each+2)
	}
}

// A bus that lost its end in a power cut gives the same numbers again.
func TestATailSeesWhatHasNumbersThatWereGivenBefore(t *testing.T) {
	for _, again := range []int{50, 150} {
		s := natstest.New(t)
		runtime := s.Bus(hoist.ComponentRuntime)
		w := newWire(t, s.Addr())
		logs := w.through(t, s, hoist.ComponentLogs)
		tail, err := logs.Tail(t.Context(), "logs.a", true)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, runtime, "logs.a", 0, 100)
		same(t, collect(t, tail, 100), numbers(0, 100))
		w.set(true, false)
		loseAll(t, s, "LOGS")
		appendAll(t, runtime, "logs.a", 100, 100+again)
		flush(t, runtime)
		w.set(false, false)
		same(t, collect(t, tail, again), numbers(100, 100+again))
		appendAll(t, runtime, "logs.a", 1000, 1001)
		same(t, collect(t, tail, 1), numbers(1000, 1001))
	}
}

// It may have lost its end while its clock was set back: then what comes has both numbers and
// times that were there before.
func TestATailSeesWhatIsNewWhenTheClockWasSetBack(t *testing.T) {
	s := natstest.New(t)
	runtime, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentLogs)
	appendAll(t, runtime, "logs.a", 0, 10)
	flush(t, runtime)
	tail, err := logs.TailFrom(t.Context(), "logs.a", 100, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	js := streams(t, s)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		info, err := js.Stream(t.Context(), "LOGS")
		if err == nil && info.CachedInfo().State.Consumers > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no consumer: ", err)
		}
	}
	appendAll(t, runtime, "logs.a", 10, 20)
	same(t, collect(t, tail, 10), numbers(10, 20))
}

// loseAll makes a stream empty, and its numbers begin again.
func loseAll(t *testing.T, s *natstest.Server, stream string) {
	t.Helper()
	js := streams(t, s)
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if err := s.Bus(nats.ComponentSeed).EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, tail <-chan hoist.Message) hoist.Message {
	t.Helper()
	select {
	case m, ok := <-tail:
		if !ok {
			t.Fatal("the tail ended")
		}
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

// A line may be read again by another process after the one that read it was
// killed, before or after that line was stored.
func TestALineThatIsAppendedAgainByAnotherIsShownOnce(t *testing.T) {
	s := natstest.New(t)
	forgetSoon(t, s, "LOGS")
	first, second, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentLogs)
	put := func(bus *nats.Bus, source string, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if !bus.AppendAt("logs.a", hoist.Place{Source: source, End: uint64(10 * (i + 1))}, fmt.Append(nil, source, i)) {
				t.Fatal("no room")
			}
		}
		flush(t, bus)
	}
	put(first, "x", 0, 10)
	put(first, "y", 0, 3)
	time.Sleep(200 * time.Millisecond)
	put(second, "x", 5, 15)
	put(second, "y", 2, 4)
	var want []string
	for _, part := range []struct {
		source   string
		from, to int
	}{{"x", 0, 10}, {"y", 0, 3}, {"x", 10, 15}, {"y", 3, 4}} {
		for i := part.from; i < part.to; i++ {
			want = append(want, fmt.Sprint(part.source, i))
		}
	}
	same(t, history(t, logs, "logs.a"), want)
}

// What a backlog has no room for is counted, and said in the log of the app
// that lost it: one that is loud while the bus is away takes no room of others.
func TestWhatIsDroppedIsCountedAndSaid(t *testing.T) {
	s := natstest.New(t)
	runtime, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentLogs)
	s.Stop()
	line := []byte(strings.Repeat("x", 5000))
	kept, dropped := 0, 0
	for range 10_000 {
		if runtime.Append("logs.loud", line) {
			kept++
		} else {
			dropped++
		}
	}
	runtime.Drop("logs.loud", 1000)
	if kept == 0 || dropped == 0 {
		t.Fatalf("%d kept, %d dropped", kept, dropped)
	}
	appendAll(t, runtime, "logs.quiet", 0, 1000)
	time.Sleep(1100 * time.Millisecond)
	s.Start()
	flush(t, runtime)
	if !runtime.Append("logs.loud", []byte("after")) {
		t.Fatal("still no room")
	}
	flush(t, runtime)
	same(t, history(t, logs, "logs.quiet"), numbers(0, 1000))
	got := history(t, logs, "logs.loud")
	got = got[len(got)-2:]
	if !strings.Contains(got[0], fmt.Sprintf("Error L10 (output buffer overflow): %d messages dropped since 20", dropped+1000)) || got[1] != "after" {
		t.Errorf("%d dropped, and said: %v", dropped+1000, got)
	}

	runtime.Drop("logs.loud", 7) // and nothing else comes
	tail, err := logs.Tail(t.Context(), "logs.loud", true)
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(t, tail, len(history(t, logs, "logs.loud"))+1); !strings.Contains(got[len(got)-1], ": 7 messages dropped") {
		t.Errorf("said: %v", got)
	}
}
