package main

import (
	"cmp"
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// registered is a component that has a row in components while it runs, by
// which the router and `hoist seed status` find it.
type registered struct {
	hoist.Component
	g       *ground
	name    string
	address string // of its HTTP server; may be empty
}

func (r registered) Run(ctx context.Context) error {
	row, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.g.register(row, r.name, r.address)
	}()
	defer func() { cancel(); <-gone }()
	return r.Component.Run(ctx)
}

// register keeps a row for a component until ctx ends.
func (g *ground) register(ctx context.Context, name, address string) {
	g.DB.KeepRegistered(ctx, g.Bus, postgres.Registration{
		ID: cmp.Or(g.env("HOIST_COMPONENT_ID"), hoist.NewID()), Type: name, Address: address, Version: version(),
	})
}
