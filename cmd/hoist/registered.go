package main

import (
	"context"
	"sync"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// registered is a component that has a row in components while it runs, by
// which the router and `hoist seed status` find it.
type registered struct {
	hoist.Component
	g       *ground
	name    string
	address string            // of its HTTP server; may be empty
	doors   map[string]string // its own addresses beside it
}

func (r registered) Run(ctx context.Context) error {
	row, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.g.register(row, r.name, r.address, r.doors)
	}()
	defer func() { cancel(); <-gone }()
	return r.Component.Run(ctx)
}

// register keeps a row for a component until ctx ends, and opens the gate
// when it has proven itself.
func (g *ground) register(ctx context.Context, name, address string, doors map[string]string) {
	g.db.KeepRegistered(ctx, g.nats, postgres.Registration{
		ID: g.ID, Type: name, Address: address, Doors: doors, Version: version(), Probation: g.Probation,
	}, g.waitsFor, sync.OnceFunc(func() { close(g.Proven) }))
}

// WaitsFor is what the component says it lacks; empty if it does not say.
func (r registered) WaitsFor() string {
	if w, ok := r.Component.(interface{ WaitsFor() string }); ok {
		return w.WaitsFor()
	}
	return ""
}
