// Package proof sees from outside whether a process of the platform does its
// work, before others are sent to it: each component is given a task of its
// kind, at its own address, in an app made for this. It takes nothing of what
// the component says of itself for granted.
package proof

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// Config is what proofs are done with.
type Config struct {
	DB     *postgres.DB // as the role of api: a proof asks for what people ask for
	Bus    hoist.Bus
	Blobs  hoist.Blobs
	Public hoist.Public
	Host   string // where the public ports are open, from here
	Stack  string
	Region string
	Dir    string // for a key and a repository; kept
	Log    *slog.Logger
}

// Prover does the proofs.
type Prover struct {
	cfg  Config
	echo echo

	mu     sync.Mutex
	made   *world
	madeAt time.Time
}

// New returns a prover.
func New(cfg Config) *Prover { return &Prover{cfg: cfg} }

// Process is what is to prove itself.
type Process struct {
	ID      hoist.ID // in its registration
	Type    string
	Address string            // of its HTTP server
	Doors   map[string]string // its own addresses beside it
	Worker  hoist.ID          // of a runtime
}

// attemptLimit bounds one attempt at one proof.
const attemptLimit = 40 * time.Second

// Prove gives a process a task. The error says what it did not do; trying
// again may help, since what it needs may be just starting, too.
func (p *Prover) Prove(ctx context.Context, d Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptLimit, fmt.Errorf("no answer within %s", attemptLimit))
	defer cancel()
	w, err := p.world(ctx)
	if err != nil {
		return fmt.Errorf("the proof cannot be prepared: %w", err)
	}
	proofs := map[string]func(context.Context, *world, Process) error{
		hoist.ComponentAPI: p.api, hoist.ComponentGit: p.git, hoist.ComponentCompile: p.compile,
		hoist.ComponentRuntime: p.runtime, hoist.ComponentRouter: p.router, hoist.ComponentLogs: p.logs,
	}
	err = proofs[d.Type](ctx, w, d)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return err
}

// wait sleeps between two looks, and reports false when ctx has ended.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}
