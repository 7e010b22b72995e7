package nats_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/nats/natstest"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// collect reads n messages of a tail, all of them if n is negative.
func collect(t *testing.T, ch <-chan hoist.Message, n int) []string {
	t.Helper()
	var got []string
	timeout := time.After(20 * time.Second)
	for len(got) != n {
		select {
		case m, ok := <-ch:
			if !ok {
				if n >= 0 {
					t.Fatalf("the tail ended after %d of %d messages", len(got), n)
				}
				return got
			}
			got = append(got, string(m.Data))
		case <-timeout:
			t.Fatalf("%d of %d messages after 20 s", len(got), n)
		}
	}
	return got
}

func history(t *testing.T, bus *nats.Bus, subject string) []string {
	t.Helper()
	ch, err := bus.Tail(within(t, 20*time.Second), subject, false)
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, ch, -1)
}

func appendAll(t *testing.T, bus *nats.Bus, subject string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if !bus.Append(subject, fmt.Append(nil, i)) {
			t.Fatalf("append %d refused", i)
		}
	}
}

func flush(t *testing.T, bus *nats.Bus) {
	t.Helper()
	if err := bus.Flush(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %d messages %.200v, want %d %.200v", len(got), got, len(want), want)
	}
}

func TestABellReachesItsListeners(t *testing.T) {
	s := natstest.New(t)
	api, router := s.Bus(hoist.ComponentAPI), s.Bus(hoist.ComponentRouter)
	rung := make(chan string, 10)
	if err := router.Listen(t.Context(), hoist.BellRoute+"*", func(subject string, data []byte) {
		rung <- subject + " " + string(data)
	}); err != nil {
		t.Fatal(err)
	}
	wait := func() {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			api.Ring(hoist.BellRoute+"a", []byte("x"))
			select {
			case got := <-rung:
				if got != "bell.route.a x" {
					t.Fatal(got)
				}
				return
			case <-time.After(20 * time.Millisecond):
			case <-deadline:
				t.Fatal("no bell")
			}
		}
	}
	wait()
	s.Stop()
	api.Ring(hoist.BellRoute+"a", []byte("x")) // lost, and does not block
	s.Start()
	wait()
}

func TestABusMayBeUsedBeforeItsServerIsThere(t *testing.T) {
	s := natstest.New(t)
	url := s.URL(hoist.ComponentAPI)
	s.Stop()
	bus, err := nats.Connect(url, natstest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	rung := make(chan bool, 100)
	if err := bus.Listen(t.Context(), hoist.BellBuild, func(string, []byte) { rung <- true }); err != nil {
		t.Fatal(err)
	}
	appendAll(t, bus, "builds.a", 0, 1000)
	ch, err := bus.Tail(t.Context(), "builds.a", true)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	same(t, collect(t, ch, 1000), numbers(0, 1000))
	for start := time.Now(); ; {
		bus.Ring(hoist.BellBuild, nil)
		select {
		case <-rung:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("no bell")
		}
	}
}

func TestAStreamOutlivesItsServerInOrderWithoutLossOrDoubling(t *testing.T) {
	s := natstest.New(t)
	api, git := s.Bus(hoist.ComponentAPI), s.Bus(hoist.ComponentGit)
	ch, err := git.Tail(t.Context(), "builds.b", true)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	go func() {
		for i := range n {
			for !api.Append("builds.b", fmt.Append(nil, i)) {
				time.Sleep(time.Millisecond)
			}
			if i%200 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	got := collect(t, ch, n/5)
	s.Stop()
	time.Sleep(200 * time.Millisecond)
	s.Start()
	got = append(got, collect(t, ch, n/5)...)
	s.Stop()
	s.Start()
	got = append(got, collect(t, ch, n-2*(n/5))...)
	same(t, got, numbers(0, n))
	flush(t, api)
	same(t, history(t, git, "builds.b"), numbers(0, n))
}

func TestTailGivesWhatIsKept(t *testing.T) {
	s := natstest.New(t)
	runtime, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentLogs)
	appendAll(t, runtime, "logs.a", 0, 100)
	appendAll(t, runtime, "logs.b", 0, 100)
	flush(t, runtime)
	same(t, history(t, logs, "logs.a"), numbers(0, 100))
	same(t, history(t, logs, "logs.none"), nil)

	all, err := logs.Tail(t.Context(), "logs.a", true)
	if err != nil {
		t.Fatal(err)
	}
	same(t, collect(t, all, 100), numbers(0, 100))
	appendAll(t, runtime, "logs.a", 100, 150)
	same(t, collect(t, all, 50), numbers(100, 150))
}

func TestATailEndsWithItsContext(t *testing.T) {
	s := natstest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch, err := s.Bus(hoist.ComponentLogs).Tail(ctx, "logs.a", true)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	same(t, collect(t, ch, -1), nil)
}

func TestWhatComesOneByOneGoesTogether(t *testing.T) {
	s := natstest.New(t)
	bus := s.Bus(hoist.ComponentRuntime)
	for i := range 300 {
		appendAll(t, bus, "logs.a", i, i+1)
		time.Sleep(time.Millisecond)
	}
	flush(t, bus)
	info, err := streams(t, s).Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	if n := info.CachedInfo().State.Msgs; n > 100 {
		t.Errorf("300 lines went as %d messages", n)
	}
	same(t, history(t, s.Bus(hoist.ComponentLogs), "logs.a"), numbers(0, 300))
}

func TestWhoWaitsForWhatItAppendedWaitsForNobodyElse(t *testing.T) {
	bus := natstest.New(t).Bus(hoist.ComponentRuntime)
	const n = 100
	begun := time.Now()
	for i := range n {
		appendAll(t, bus, "logs.a", i, i+1)
		flush(t, bus)
	}
	if took := time.Since(begun); took > n*nats.AppendPace {
		t.Errorf("%s for %d lines", took, n)
	}
}

func TestAnAppsLogIsBounded(t *testing.T) {
	s := natstest.New(t)
	runtime, logs := s.Bus(hoist.ComponentRuntime), s.Bus(hoist.ComponentLogs)
	appendAll(t, runtime, "logs.quiet", 0, 10)
	line, want := strings.Repeat("x", 5000), []string{} // too long for two of them to go together
	for i := range 2 * hoist.LogKeep {
		want = append(want, fmt.Sprint(i, line))
		runtime.Append("logs.long", []byte(want[i]))
	}
	for i := range 100 {
		appendAll(t, runtime, "logs.loud", i*hoist.LogKeep, (i+1)*hoist.LogKeep)
		flush(t, runtime)
	}
	same(t, history(t, logs, "logs.long"), want[hoist.LogKeep:])
	loud := history(t, logs, "logs.loud")
	if len(loud) < hoist.LogKeep || len(strings.Join(loud, "\n")) > hoist.LogKeep*8192 {
		t.Errorf("%d lines kept", len(loud))
	}
	same(t, loud, numbers(100*hoist.LogKeep-len(loud), 100*hoist.LogKeep))
	same(t, history(t, logs, "logs.quiet"), numbers(0, 10))
}

func TestTheBacklogIsBounded(t *testing.T) {
	s := natstest.New(t)
	bus := s.Bus(hoist.ComponentRuntime)
	s.Stop()
	line, n := make([]byte, 1000), 0
	for bus.Append("logs.a", line) {
		if n++; n > 1<<20 {
			t.Fatal("no bound")
		}
	}
	if n < 10_000 {
		t.Errorf("only %d lines kept while the bus was away", n)
	}
	if err := bus.Flush(within(t, 100*time.Millisecond)); err == nil {
		t.Error("flushed without a server")
	}
	if bus.Append("logs.b", make([]byte, 2<<20)) {
		t.Error("took a message no server takes")
	}
}

func TestComponentsHaveLeastPrivilege(t *testing.T) {
	s := natstest.New(t)
	seed := s.Bus(nats.ComponentSeed)
	heard := make(chan string, 100)
	if err := seed.Listen(t.Context(), ">", func(subject string, _ []byte) { heard <- subject }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		component, subject string
		allowed            bool
	}{
		{hoist.ComponentRouter, hoist.BellComponent, true},
		{hoist.ComponentRouter, hoist.BellBuild, false},
		{hoist.ComponentLogs, hoist.BellFormation + "a", false},
		{hoist.ComponentGit, hoist.BellBuild + ".a", true},
		{hoist.ComponentGit, hoist.BellFormation + "a", false},
		{hoist.ComponentGit, "$JS.API.STREAM.DELETE.BUILDS", false},
		{hoist.ComponentLogs, "$JS.API.STREAM.PURGE.LOGS", false},
		{hoist.ComponentLogs, "$JS.API.STREAM.MSG.GET.BUILDS", false},
		{hoist.ComponentAPI, "$JS.API.CONSUMER.CREATE.LOGS.x", false},
		{hoist.ComponentAPI, hoist.BellRoute + "a", true},
	} {
		bus, got := s.Bus(c.component), false
		for tries := 0; !got && (tries == 0 || c.allowed && tries < 30); tries++ { // the first may come before we listen
			bus.Ring(c.subject, nil)
			for timeout := time.After(300 * time.Millisecond); !got; {
				select {
				case subject := <-heard:
					got = subject == c.subject
					continue
				case <-timeout:
				}
				break
			}
		}
		if got != c.allowed {
			t.Errorf("%s on %s: passed %v, want %v", c.component, c.subject, got, c.allowed)
		}
	}

	router := s.Bus(hoist.ComponentRouter)
	spied := make(chan string, 10)
	for _, subject := range []string{"logs.*", "builds.*", "_INBOX.>", "bell.>", "$JS.>"} {
		if err := router.Listen(t.Context(), subject, func(subject string, _ []byte) { spied <- subject }); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	appendAll(t, seed, "logs.a", 0, 1)
	appendAll(t, seed, "builds.a", 0, 1)
	seed.Ring(hoist.BellBuild, nil)
	flush(t, seed)
	select {
	case subject := <-spied:
		t.Errorf("router heard %s", subject)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestAForbiddenAppendHoldsUpNothing(t *testing.T) {
	s := natstest.New(t)
	runtime, seed := s.Bus(hoist.ComponentRuntime), s.Bus(nats.ComponentSeed)
	runtime.Append("builds.a", []byte("no"))
	appendAll(t, runtime, "logs.a", 0, 10)
	flush(t, runtime)
	same(t, history(t, seed, "logs.a"), numbers(0, 10))
	same(t, history(t, seed, "builds.a"), nil)
	if runtime.Append("builds.a", []byte("no")) {
		t.Error("taken a second time")
	}
	if runtime.Append("bell.build", nil) || runtime.Append("logs.a.b", nil) || runtime.Append("logs.*", nil) {
		t.Error("took a subject that is no stream")
	}
}

func BenchmarkAppend(b *testing.B) {
	s := natstest.New(b)
	bus := s.Bus(hoist.ComponentRuntime)
	line := make([]byte, 200)
	for i := 0; b.Loop(); i++ {
		for !bus.Append(fmt.Sprintf("logs.%d", i%50), line) {
			time.Sleep(time.Millisecond)
		}
	}
	if err := bus.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func TestAWrongURLIsAnError(t *testing.T) {
	for _, url := range []string{"", "nats://", "::", "127.0.0.1:4222"} {
		if _, err := nats.Connect(url, natstest.Log(t)); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

// What will never serve says why, at once.
func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s, err := nats.StartServer(nats.Config{Dir: dir, Addr: "127.0.0.1:0", Users: map[string]string{nats.ComponentSeed: "secret"}, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "not a directory") || time.Since(begun) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
}
