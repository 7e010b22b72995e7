package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// errNotOurs is why a supervisor must end: the row is gone or another's.
var errNotOurs = errors.New("the dyno is not this worker's any more")

const (
	webPort  = 5000        // $PORT; every dyno has a network of its own
	provenUp = time.Minute // up for so long, a crash is the first again
)

// supervisor runs one dyno row: a state machine whose state is in the row, so
// that another process can go on from any point. It ends when the row is down,
// when the row is lost (the container is removed) or when its context ends
// (the container is left running).
type supervisor struct {
	r        *Runtime
	log      *slog.Logger
	dyno     hoist.Dyno          // the row as last written
	proc     *process            // nil if there is no container
	watching sync.WaitGroup      // of its output
	slug     func()              // gives the slug back to the cache
	image    image               // its file
	began    hoist.ContainerSpec // what its container was started with, if we did that

	cancel context.CancelCauseFunc
	stop   chan struct{} // closed: want is down
	once   sync.Once
	done   chan struct{}

	secret  string        // hash of the attach secret; empty if not attached
	client  chan net.Conn // from the attach listener; one at most
	offered bool          // that one; under the runtime's mu
	session *session      // of the attached client
	agains  int           // starts in a row while the database is away
}

func newSupervisor(r *Runtime, d hoist.Dyno) *supervisor {
	s := &supervisor{
		r: r, dyno: d, log: r.log.With("app", d.AppName, "dyno", d.Name(), "id", d.ID),
		stop: make(chan struct{}), done: make(chan struct{}), client: make(chan net.Conn, 1),
		slug: func() {},
	}
	if d.Attach {
		s.secret = string(d.SecretHash)
	}
	return s
}

// begin starts the supervisor, adopting the dyno's container if there is one.
func (s *supervisor) begin(ctx context.Context, found hoist.Container, there bool) {
	ctx, s.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(s.done)
		defer s.cancel(nil)
		if there {
			s.adopt(ctx, found)
		} else {
			s.resume(ctx)
		}
		for ctx.Err() == nil && s.dyno.State != hoist.DynoDown {
			switch s.dyno.State {
			case hoist.DynoStarting:
				s.start(ctx)
			case hoist.DynoUp:
				s.watchOver(ctx)
			case hoist.DynoStopping:
				s.shutDown(ctx)
			case hoist.DynoCrashed:
				s.waitToRestart(ctx)
			default:
				s.log.Error("unknown state", "state", s.dyno.State)
				s.askToStop()
				s.to(ctx, hoist.DynoDown)
			}
		}
		if s.session != nil {
			s.session.close()
		}
		if errors.Is(context.Cause(ctx), errNotOurs) {
			s.log.Info("ending a container that is not ours any more")
			s.remove(context.WithoutCancel(ctx))
			s.r.forget(s.dyno.ID)
		} else if s.dyno.State == hoist.DynoDown {
			s.r.forget(s.dyno.ID)
		}
		s.slug()
		s.cancel(nil)
		s.watching.Wait()
	}()
}

// askToStop makes want='down' known.
func (s *supervisor) askToStop() { s.once.Do(func() { close(s.stop) }) }

// until returns a context that ends when the dyno shall stop.
func (s *supervisor) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// adopt takes over a container that an earlier process started.
func (s *supervisor) adopt(ctx context.Context, c hoist.Container) {
	s.log.Info("adopting a container", "running", c.Running)
	switch {
	case s.dyno.State == hoist.DynoCrashed:
		s.remove(ctx)
	case s.dyno.Attach:
		s.watch(ctx, c)
		s.dyno.Reason = hoist.ReasonClientLost
		s.r.engine.Signal(ctx, s.dyno.ID, sigHUP)
		s.to(ctx, hoist.DynoStopping)
	default:
		s.watch(ctx, c)
		if serves(s.dyno) && s.dyno.State == hoist.DynoUp && s.dyno.Address != serveAddress(c.IP) {
			s.to(ctx, hoist.DynoStarting) // it was started while the database was away
		}
	}
}

// resume goes on with a row that has no container here.
func (s *supervisor) resume(ctx context.Context) {
	switch {
	case s.dyno.State == hoist.DynoStopping:
		s.to(ctx, hoist.DynoDown)
	case s.dyno.State != hoist.DynoUp:
	case s.dyno.Kind != hoist.KindFormation:
		s.dyno.Reason = "its machine was restarted"
		s.to(ctx, hoist.DynoDown)
	default: // the machine was restarted
		s.to(ctx, hoist.DynoStarting)
	}
}

// to writes the row with a new state, for as long as it takes, and rings.
// Afterwards the context has ended or the row is written.
func (s *supervisor) to(ctx context.Context, state hoist.DynoState) {
	from := s.dyno.State
	s.dyno.State, s.dyno.StateAt = state, time.Now()
	if state != hoist.DynoUp && state != hoist.DynoStopping {
		s.dyno.Address = ""
	}
	for warned := false; ctx.Err() == nil; warned = true {
		write, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.r.db.UpdateDyno(write, s.r.worker.ID, s.dyno)
		cancel()
		switch {
		case err == nil:
			s.log.Info("state", "from", from, "to", state, "reason", s.dyno.Reason)
			s.r.ring(s.dyno)
			return
		case errors.Is(err, hoist.ErrNotFound):
			s.cancel(errNotOurs)
			return
		case !warned && ctx.Err() == nil:
			s.log.Warn("waits", "for", "database: "+err.Error())
		}
		sleep(ctx, time.Second)
	}
}

// waitToRestart waits until a crashed dyno is due.
func (s *supervisor) waitToRestart(ctx context.Context) {
	due := time.Now()
	if s.dyno.RestartAt != nil {
		due = *s.dyno.RestartAt
	}
	if latest := time.Now().Add(backoff(s.r.cfg.Backoff, s.dyno.Restarts)); due.After(latest) {
		due = latest // the clock was set back
	}
	select {
	case <-ctx.Done():
	case <-s.stop:
		s.to(ctx, hoist.DynoDown)
	case <-time.After(time.Until(due)):
		s.dyno.RestartAt = nil
		s.r.append(s.dyno, "heroku", hoist.Place{Source: s.dyno.ID + "-restart", End: uint64(due.UnixMicro())},
			"State changed from crashed to starting")
		s.to(ctx, hoist.DynoStarting)
	}
}

// crashed ends a formation dyno for now and a one-off for good.
func (s *supervisor) crashed(ctx context.Context, reason string) {
	if ctx.Err() != nil {
		return // the next runtime will see to it
	}
	if s.dyno.Kind != hoist.KindFormation {
		s.ended(ctx, reason)
		return
	}
	if why := s.checkSlug(); why != "" {
		s.say("Error R99 (Platform error) -> " + why)
		reason = "R99 (Platform error): " + why
	}
	d := &s.dyno
	from := d.State
	if from == hoist.DynoUp && s.again(ctx) {
		return
	}
	if s.endedUnwatched() {
		s.noteExit()
		s.sayOnce(stepState, fmt.Sprintf("State changed from %s to starting", from))
		s.to(ctx, hoist.DynoStarting)
		s.remove(ctx)
		return
	}
	if d.State == hoist.DynoUp && time.Since(d.StateAt) >= provenUp {
		d.Restarts = 0
	}
	at := time.Now().Add(backoff(s.r.cfg.Backoff, d.Restarts))
	d.Restarts++
	d.RestartAt, d.Reason = &at, reason
	s.noteExit()
	s.sayOnce(stepState, fmt.Sprintf("State changed from %s to crashed", from))
	s.to(ctx, hoist.DynoCrashed)
	s.remove(ctx)
}

// endedUnwatched reports whether nobody can say how the process ended. Then most likely
// it ended because its runtime or its machine did, which is no crash of the app's.
func (s *supervisor) endedUnwatched() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.ended:
		return s.proc.exit.Code < 0 && !s.proc.exit.OOM && !s.proc.exit.TimedOut
	default:
		return false
	}
}

// ended is the end of a dyno that shall not run any more.
func (s *supervisor) ended(ctx context.Context, reason string) {
	if ctx.Err() != nil {
		return // the next runtime will see to it
	}
	d := &s.dyno
	if reason != "" {
		d.Reason = reason
	}
	from, to := d.State, "down"
	if from == hoist.DynoStopping {
		from = hoist.DynoUp // as Heroku words it
	}
	if d.Kind != hoist.KindFormation {
		to = "complete"
	}
	s.noteExit()
	s.sayOnce(stepState, fmt.Sprintf("State changed from %s to %s", from, to))
	s.to(ctx, hoist.DynoDown)
	if s.session != nil {
		s.session.close() // the exit code is in the row
	}
	s.remove(ctx)
}

// noteExit writes down how the process ended, if it did.
func (s *supervisor) noteExit() {
	if s.proc == nil {
		return
	}
	select {
	case <-s.proc.ended:
	default:
		return
	}
	exit := s.proc.exit
	switch {
	case exit.OOM:
		s.sayOnce(stepWhy, "Error "+hoist.ReasonMemory)
		s.dyno.Reason = hoist.ReasonMemory
	case exit.TimedOut:
		s.sayOnce(stepWhy, fmt.Sprintf("Error: it ran for longer than %s", s.dyno.Timeout))
		s.dyno.Reason = fmt.Sprintf("it ran for longer than %s", s.dyno.Timeout)
	case exit.DiskFull:
		s.sayOnce(stepWhy, "Error: its disk is full; files beyond the dyno's size were not written")
		s.dyno.Reason = hoist.ReasonDisk
	case exit.PidsFull && exit.Code != 0: // who copes with it need not hear of it
		s.sayOnce(stepWhy, "Error: "+hoist.ReasonPids)
		s.dyno.Reason = hoist.ReasonPids
	}
	if exit.Code < 0 {
		exit.Code = hoist.ExitUnknown
		s.dyno.Reason = cmp.Or(s.dyno.Reason, hoist.ReasonExitUnknown)
		s.sayOnce(stepUnknown, "Error: "+hoist.ReasonExitUnknown)
	}
	s.dyno.ExitCode = &exit.Code
	s.sayOnce(stepExit, fmt.Sprintf("Process exited with status %d", exit.Code))
}

// backoff doubles from base, up to 300 times base.
func backoff(base time.Duration, restarts int) time.Duration {
	return min(base<<min(restarts, 9), 300*base)
}

// remove frees the container, for as long as it takes.
func (s *supervisor) remove(ctx context.Context) {
	s.proc = nil
	s.r.remove(ctx, s.dyno.ID, s.log)
}

// say writes a line of the platform about the dyno to the app's log.
func (s *supervisor) say(text string) { s.r.say(s.dyno, text) }

// The steps of a container's life, of which each is said once.
const (
	stepUp = 1 + iota
	stepTerm
	stepLate
	stepKill
	stepWhy
	stepUnknown
	stepExit
	stepState
)

// sayOnce says what the next runtime says, too, if this one ends before the
// state is written.
func (s *supervisor) sayOnce(step uint64, text string) {
	var at hoist.Place
	if s.proc != nil {
		at = hoist.Place{Source: fmt.Sprintf("%s-%d", s.dyno.ID, s.proc.since.UnixNano()), End: step}
	}
	s.r.append(s.dyno, "heroku", at, text)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
