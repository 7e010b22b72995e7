package oci

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// spares are containers that wait at the gate for something to run: nearly all of a start
// is behind them. They are made when nothing has been started for a moment, with a disk
// like that of the last start, and only of the kind that every app's dynos are:
// no grants, nobody attached. None has run anything of anybody's. When their
// engine dies they see their gate vanish and end; the next engine sweeps them up.
type spares struct {
	engine *Engine
	dir    string // where their directories are until they are taken
	number int

	used   chan struct{} // something was started
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex
	disk  int64 // bytes; -1 if there was no start yet
	ready []*container
}

const (
	// calm is how long nothing must have been started before a spare is made.
	calm = 200 * time.Millisecond
	// spareAddresses are left to those who cannot have a spare.
	spareAddresses = 16
)

func newSpares(e *Engine, number int) *spares {
	return &spares{
		engine: e, dir: filepath.Join(e.dir, "spares"), number: number,
		used: make(chan struct{}, 1), cancel: func() {}, disk: -1,
	}
}

// begin makes spares from now on.
func (s *spares) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	if s.number > 0 {
		s.ended.Go(func() { s.fill(ctx) })
	}
}

// close ends them all.
func (s *spares) close() {
	s.cancel()
	s.ended.Wait()
	s.mu.Lock()
	left := s.ready
	s.ready, s.number = nil, 0
	s.mu.Unlock()
	s.discard(left)
}

// take returns a container for the specification, or nil.
func (s *spares) take(spec hoist.ContainerSpec) *container {
	if spec.Grants != nil || spec.Attach {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk = spec.Size.Disk
	for i, c := range s.ready {
		if c.disk == s.disk && !c.ended() {
			s.ready = slices.Delete(s.ready, i, i+1)
			return c
		}
	}
	return nil
}

// started says that a container was started.
func (s *spares) started() {
	select {
	case s.used <- struct{}{}:
	default:
	}
}

func (s *spares) fill(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.used:
		}
		for quiet := false; !quiet; {
			select {
			case <-ctx.Done():
				return
			case <-s.used:
			case <-time.After(calm):
				quiet = true
			}
		}
		s.discard(s.unfit())
		for ctx.Err() == nil && len(s.used) == 0 && s.missing() {
			if err := s.add(ctx); err != nil && ctx.Err() == nil {
				s.engine.log.Warn("cannot prepare a container; the next ones start slower", "err", err)
				break
			}
		}
	}
}

// unfit removes from the spares those that nothing like the last start can use.
func (s *spares) unfit() (unfit []*container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = slices.DeleteFunc(s.ready, func(c *container) bool {
		bad := c.disk != s.disk || c.ended()
		if bad {
			unfit = append(unfit, c)
		}
		return bad
	})
	return unfit
}

func (s *spares) missing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disk >= 0 && len(s.ready) < s.number && s.engine.network.free() > spareAddresses
}

// add prepares one.
func (s *spares) add(ctx context.Context) error {
	name := "spare-" + hoist.NewID()
	s.mu.Lock()
	c := &container{name: name, dir: filepath.Join(s.dir, name), disk: s.disk, done: make(chan struct{})}
	s.mu.Unlock()
	var err error
	if c.IP, err = s.engine.network.take(netip.Addr{}); err != nil {
		return err
	}
	if err := s.engine.prepare(ctx, c, hoist.ContainerSpec{Size: hoist.Size{Disk: c.disk}}); err != nil {
		s.discard([]*container{c})
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = append(s.ready, c)
	return nil
}

func (s *spares) discard(all []*container) {
	ctx, cancel := context.WithTimeout(context.Background(), freeLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			if err := s.engine.free(ctx, c); err != nil {
				s.engine.log.Error("cannot remove a prepared container", "container", c.name, "err", err)
			}
		})
	}
	wg.Wait()
}
