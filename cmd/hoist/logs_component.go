package main

import (
	"context"
	"net"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/logs"
	"github.com/hoist-sh/hoist/postgres"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentLogs,
		short: "Serve log sessions: history and tail of every app's log",
		build: func(ctx context.Context, g *ground) (hoist.Component, error) {
			l, err := net.Listen("tcp", g.listenAddr())
			if err != nil {
				return nil, err
			}
			return &logsComponent{logs.New(l, g.DB, g.Bus, g.Log), l.Addr().String(), g}, nil
		},
	})
}

// logsComponent is the component with its place in the registry.
type logsComponent struct {
	*logs.Server
	address string
	g       *ground
}

func (c *logsComponent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c.g.DB.KeepRegistered(ctx, c.g.Bus, postgres.Registration{
			ID: hoist.NewID(), Type: hoist.ComponentLogs, Address: c.address,
		})
	}()
	defer func() { cancel(); <-gone }()
	return c.Server.Run(ctx)
}
