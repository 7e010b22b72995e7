package main

import (
	"context"
	"net"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/logs"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentLogs,
		short: "Serve log sessions: history and tail of every app's log",
		build: func(ctx context.Context, g *ground) (hoist.Component, error) {
			drain, err := g.drain()
			if err != nil {
				return nil, err
			}
			l, err := net.Listen("tcp", g.listenAddr())
			if err != nil {
				return nil, err
			}
			return registered{logs.New(l, g.database("log sessions", waits), g.bus("the lines", waits), drain, g.Log), g, hoist.ComponentLogs, l.Addr().String(), nil}, nil
		},
	})
}
