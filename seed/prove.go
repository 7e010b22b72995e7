package seed

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/proof"
)

// Whole is the name of the proof of the platform as a whole.
const Whole = "whole"

// Provable is a process of the platform that can be given a task, or Whole.
type Provable struct {
	ID   hoist.ID `json:"id"`
	Name string   `json:"name"`
}

// provable lists what runs, the whole last.
func (y *system) provable(ctx context.Context) ([]Provable, error) {
	registered, err := y.seed.db.Registrations(ctx)
	if err != nil {
		return nil, err
	}
	list := []Provable{}
	for _, c := range hoist.Components {
		for _, r := range registered {
			if r.Type == c && !r.Probation {
				list = append(list, Provable{r.ID, y.nameOf(r)})
			}
		}
	}
	return append(list, Provable{Name: Whole}), nil
}

// nameOf is a dyno's name, or the component's when it runs inside the seed or alone.
func (y *system) nameOf(r postgres.Registration) string {
	y.mu.Lock()
	defer y.mu.Unlock()
	if d := y.dynos[r.ID]; d != nil {
		return d.Name()
	}
	return r.Type
}

// proveNow gives a process that runs, or the whole, a task.
func (y *system) proveNow(ctx context.Context, id hoist.ID) error {
	if id == "" {
		return y.prover.Chain(ctx)
	}
	registered, err := y.seed.db.Registrations(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(registered, func(r postgres.Registration) bool { return r.ID == id })
	if i < 0 {
		return hoist.NotFound("process")
	}
	r := registered[i]
	p := proof.Process{ID: id, Type: r.Type, Address: r.Address, Doors: r.Doors}
	if r.Type == hoist.ComponentRuntime {
		p.Worker = y.workerOf(ctx, id)
	}
	return y.prover.Prove(ctx, p)
}

// workerOf is the worker of a runtime, be it a dyno or inside the seed.
func (y *system) workerOf(ctx context.Context, id hoist.ID) hoist.ID {
	y.mu.Lock()
	defer y.mu.Unlock()
	if d := y.dynos[id]; d != nil {
		return y.worker(ctx, d)
	}
	worker, _ := workerIn(y.seed.cfg.file(hoist.ComponentRuntime))
	return worker
}

// AskProvable asks a running seed what can be given a task.
func AskProvable(ctx context.Context, s Settings) (list []Provable, err error) {
	return list, ask(ctx, s, http.MethodGet, "/provable", nil, &list)
}

// Prove has a running seed give something a task, and returns why it did not do it.
func Prove(ctx context.Context, s Settings, p Provable) error {
	var why string
	if err := ask(ctx, s, http.MethodPost, "/prove", url.Values{"id": {p.ID}}, &why); err != nil {
		return err
	}
	if why != "" {
		return errors.New(why)
	}
	return nil
}
