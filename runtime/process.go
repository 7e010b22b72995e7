package runtime

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

const (
	sigHUP  = int(unix.SIGHUP)
	sigTERM = int(unix.SIGTERM)
	sigKILL = int(unix.SIGKILL)
)

const (
	// killWait is how long a killed container may take to be seen ended.
	killWait = 10 * time.Second
	// clientsInterval is how often it is looked whether a dyno still has clients.
	clientsInterval = time.Second
)

// process is a container being watched.
type process struct {
	ip    netip.Addr
	since time.Time
	ended chan struct{} // closed when it has; exit is valid then
	exit  hoist.Exit
}

// start brings a dyno from starting to up.
func (s *supervisor) start(ctx context.Context) {
	if s.dyno.Attach && s.proc == nil {
		s.startAttached(ctx)
		return
	}
	if s.proc == nil && !s.launch(ctx) {
		return
	}
	if serves(s.dyno) {
		s.boot(ctx)
		return
	}
	s.up(ctx)
}

// serves reports whether the router sends requests to a dyno when it is up.
func serves(d hoist.Dyno) bool { return d.Kind == hoist.KindFormation && d.Type == "web" }

// launch starts the container and watches it; false if that was not to be,
// and the state has changed or ctx has ended.
func (s *supervisor) launch(ctx context.Context) bool {
	wanted, cancel := s.until(ctx)
	spec, err := s.spec(wanted)
	cancel()
	if err == nil {
		err = s.run(ctx, spec)
	}
	if err == nil {
		s.began = spec
		return true
	}
	s.failed(ctx, err)
	return false
}

// failed says why a dyno could not be started, unless it was to stop anyway.
func (s *supervisor) failed(ctx context.Context, err error) {
	select {
	case <-ctx.Done():
		return
	case <-s.stop:
		s.ended(ctx, "")
		return
	default:
	}
	s.log.Error("cannot start the dyno", "error", err)
	s.say("Error R99 (Platform error) -> Failed to launch the dyno: " + err.Error())
	s.crashed(ctx, "R99 (Platform error): "+err.Error())
}

// run starts a container and begins to watch it.
func (s *supervisor) run(ctx context.Context, spec hoist.ContainerSpec) error {
	s.say(fmt.Sprintf("Starting process with command `%s`", spec.Command))
	if s.dyno.Timeout > 0 {
		spec.Deadline = time.Now().Add(s.dyno.Timeout)
	}
	if err := s.r.engine.Start(ctx, spec); err != nil {
		return err
	}
	containers, err := s.r.engine.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.ID == spec.ID {
			s.watch(ctx, c)
			return nil
		}
	}
	return fmt.Errorf("container %s is not there after its start", spec.ID)
}

// watch follows the container's output and its end.
func (s *supervisor) watch(ctx context.Context, c hoist.Container) {
	p := &process{ip: c.IP, since: c.StartedAt, ended: make(chan struct{})}
	s.proc = p
	go s.watchMemory(ctx, s.dyno, p.ended)
	out := s.r.newOutput(s.dyno)
	var lines hoist.Output
	if !s.dyno.Attach {
		lines = out
	}
	s.watching.Go(func() {
		defer out.confess()
		for ctx.Err() == nil {
			exit, err := s.r.engine.Watch(ctx, c.ID, lines)
			if ctx.Err() != nil {
				return
			}
			if err != nil && s.runs(ctx) {
				s.log.Error("cannot watch the container; trying again", "error", err)
				sleep(ctx, time.Second)
				continue
			}
			if err != nil {
				s.log.Error("how the container ended is not known", "error", err)
				exit.Code = -1
			}
			p.exit = exit
			close(p.ended)
			return
		}
	})
}

// runs reports whether the container is there and has not ended.
func (s *supervisor) runs(ctx context.Context) bool {
	containers, err := s.r.engine.List(ctx)
	if err != nil {
		return true // who cannot say restarts nothing
	}
	for _, c := range containers {
		if c.ID == s.dyno.ID {
			return c.Running
		}
	}
	return false
}

// boot waits until a web dyno listens on its port.
func (s *supervisor) boot(ctx context.Context) {
	addr := serveAddress(s.proc.ip)
	wanted, cancel := s.until(ctx)
	defer cancel()
	limit := time.NewTimer(time.Until(s.proc.since.Add(s.r.cfg.BootTimeout)))
	defer limit.Stop()
	for began := time.Now(); ; {
		if listens(wanted, addr) {
			s.dyno.Address = addr
			s.up(ctx)
			return
		}
		select {
		case <-s.proc.ended:
			s.crashed(ctx, "")
			return
		case <-wanted.Done():
			s.to(ctx, hoist.DynoStopping)
			return
		case <-limit.C:
			s.sayOnce(stepLate, fmt.Sprintf("Error R10 (Boot timeout) -> Web process failed to bind to $PORT within %.0f seconds of launch", s.r.cfg.BootTimeout.Seconds()))
			s.sayOnce(stepKill, "Stopping process with SIGKILL")
			s.kill(ctx)
			s.crashed(ctx, "R10 (Boot timeout)")
			return
		// Seen a tenth of the time later that it took, at most.
		case <-time.After(min(max(time.Since(began)/10, 5*time.Millisecond), 250*time.Millisecond)):
		}
	}
}

// serveAddress is where a web dyno with an address serves.
func serveAddress(ip netip.Addr) string { return net.JoinHostPort(ip.String(), strconv.Itoa(webPort)) }

// listens reports whether a TCP connection to addr can be made.
func listens(ctx context.Context, addr string) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (s *supervisor) up(ctx context.Context) {
	s.dyno.Reason = ""
	s.sayOnce(stepUp, "State changed from starting to up")
	s.to(ctx, hoist.DynoUp)
	s.remember()
}

// watchOver waits for the end of a dyno that is up.
func (s *supervisor) watchOver(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.proc.ended:
		if s.session != nil {
			s.session.drain()
		}
		s.crashed(ctx, "")
	case <-s.stop:
		s.to(ctx, hoist.DynoStopping)
	}
}

// shutDown ends a dyno in order: out of the routes, a moment for the requests
// it has, or more if it is moved, SIGTERM, time to end, SIGKILL.
func (s *supervisor) shutDown(ctx context.Context) {
	if s.proc == nil {
		s.to(ctx, hoist.DynoDown)
		return
	}
	if s.dyno.Address != "" {
		s.wait(ctx, s.r.cfg.Drain)
		if s.r.leaving.Load() {
			s.awaitClients(ctx)
		}
	}
	s.sayOnce(stepTerm, "Stopping all processes with SIGTERM")
	if err := s.r.engine.Signal(ctx, s.dyno.ID, sigTERM); err != nil && ctx.Err() == nil {
		s.log.Warn("SIGTERM", "error", err)
	}
	if !s.wait(ctx, s.r.cfg.StopGrace) && ctx.Err() == nil {
		s.sayOnce(stepLate, fmt.Sprintf("Error R12 (Exit timeout) -> At least one process failed to exit within %.0f seconds of SIGTERM", s.r.cfg.StopGrace.Seconds()))
		s.sayOnce(stepKill, "Stopping remaining processes with SIGKILL")
		s.kill(ctx)
		s.dyno.Reason = "R12 (Exit timeout)"
	}
	if s.session != nil {
		s.session.drain()
	}
	s.ended(ctx, "")
}

// awaitClients waits until nobody is connected to a dyno any more, for DrainMoved at most: that it
// moves is our wish and not its owner's, so no WebSocket and no long answer shall end for it. The router
// sends it nothing new, and closes what it keeps for later requests.
func (s *supervisor) awaitClients(ctx context.Context) {
	for limit := time.Now().Add(s.r.cfg.DrainMoved); time.Now().Before(limit) && !s.r.late.Load(); {
		n, err := s.r.engine.Connections(ctx, s.dyno.ID, webPort)
		if err != nil {
			s.log.Warn("whether anybody is connected to the dyno is not known", "error", err)
			return
		}
		if n == 0 || s.wait(ctx, clientsInterval) || ctx.Err() != nil {
			return
		}
	}
}

// kill ends the container at once.
func (s *supervisor) kill(ctx context.Context) {
	if err := s.r.engine.Signal(ctx, s.dyno.ID, sigKILL); err != nil && ctx.Err() == nil {
		s.log.Warn("SIGKILL", "error", err)
	}
	s.wait(ctx, killWait)
}

// wait waits for the end of the process, for d at most.
func (s *supervisor) wait(ctx context.Context, d time.Duration) (ended bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.proc.ended:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}
