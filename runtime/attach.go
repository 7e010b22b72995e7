package runtime

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
)

// hangupWait is the time from SIGHUP to SIGKILL when the client went away.
const hangupWait = 10 * time.Second

var errAttached = &hoist.Error{ID: "attached", Message: "Somebody else is attached to this dyno.", Status: 409}

// acceptClients brings clients to the dynos whose secrets they know.
func (r *Runtime) acceptClients(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Warn("attach listener", "error", err)
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		go func() {
			secret, err := rendezvous.ReadSecret(conn)
			if err == nil {
				err = r.offer(ctx, sha256.Sum256([]byte(secret)), conn)
			}
			if err != nil {
				rendezvous.Refuse(conn, err)
			}
		}()
	}
}

// offer hands a client to its dyno. The row may say that the dyno is ours a
// moment before we know.
func (r *Runtime) offer(ctx context.Context, hash [32]byte, conn net.Conn) error {
	for deadline := time.Now().Add(hoist.ResyncInterval); ; sleep(ctx, 50*time.Millisecond) {
		r.mu.Lock()
		for _, s := range r.dynos {
			if s.secret != "" && s.secret == string(hash[:]) {
				defer r.mu.Unlock()
				if s.offered {
					return errAttached
				}
				s.offered = true
				s.client <- conn
				return nil
			}
		}
		r.mu.Unlock()
		if time.Now().After(deadline) || ctx.Err() != nil {
			return hoist.NotFound("dyno")
		}
		signal(r.wake)
	}
}

// refuseClient turns away a client that came too late; nobody offers any more.
func (s *supervisor) refuseClient() {
	select {
	case conn := <-s.client:
		rendezvous.Refuse(conn, hoist.NotFound("dyno"))
	default:
	}
}

// startAttached waits for the client with all that is needed at hand, then
// starts the container, so that no output is lost and none is paid for.
func (s *supervisor) startAttached(ctx context.Context) {
	wanted, cancel := s.until(ctx)
	defer cancel()
	spec, err := s.spec(wanted)
	if err != nil {
		s.failed(ctx, err)
		return
	}
	s.say("Awaiting client")
	var conn net.Conn
	select {
	case conn = <-s.client:
	case <-wanted.Done():
		if ctx.Err() == nil {
			s.ended(ctx, "")
		}
		return
	case <-time.After(s.r.cfg.AttachTimeout):
		s.say("Error R13 (Attach error) -> Failed to attach to process")
		s.ended(ctx, "R13 (Attach error): nobody attached in time")
		return
	}
	var stream io.ReadWriteCloser
	if err = s.run(ctx, spec); err == nil {
		stream, err = s.r.engine.Attach(spec.ID)
	}
	if err != nil {
		rendezvous.Refuse(conn, &hoist.Error{ID: "attach_failed", Message: "The dyno could not be started: " + err.Error()})
		s.failed(ctx, err)
		return
	}
	s.session = newSession(conn, stream)
	if rendezvous.Welcome(conn) != nil {
		s.log.Info("the client went away at once")
	}
	go s.session.output()
	p, d := s.proc, s.dyno
	late := sync.OnceFunc(func() {
		s.r.say(d, "Error: input came after its end, which is byte 4 and a pause; the dyno is killed, as it lacks a part of its input")
		s.r.engine.Signal(ctx, spec.ID, sigKILL)
	})
	go func() {
		s.session.input(d.TTY, late)
		stream.Close() // SIGHUP
		select {
		case <-p.ended:
		case <-ctx.Done():
		case <-time.After(hangupWait):
			s.r.engine.Signal(ctx, spec.ID, sigKILL)
		}
	}()
	s.up(ctx)
}
