package main

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/router"
	"github.com/hoist-sh/hoist/socket"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentRouter,
		short: "Take HTTP requests and pass them to the apps' dynos",
		build: buildRouter,
	})
}

func buildRouter(_ context.Context, g *ground) (hoist.Component, error) {
	settings, err := router.SettingsFrom(g.env)
	if err != nil {
		return nil, err
	}
	cfg := router.Config{Public: g.Public, Store: g.DB, Bus: g.Bus, Log: g.Log, Dir: g.env("HOIST_DIR"), Settings: settings}
	if cert, key := g.env("HOIST_TLS_CERT"), g.env("HOIST_TLS_KEY"); cert != "" {
		if cfg.GetCertificate, err = router.Certificate(cert, key, g.Log); err != nil {
			return nil, err
		}
	}
	if cfg.HTTP, err = openSocket("http", g.env("HOIST_HTTP_ADDR"), g.Public.HTTP); err != nil {
		return nil, err
	}
	if cfg.GetCertificate == nil {
		g.Log.Warn("no HTTPS and no attached dynos: HOIST_TLS_CERT and HOIST_TLS_KEY are not set")
	} else {
		if cfg.HTTPS, err = openSocket("https", g.env("HOIST_HTTPS_ADDR"), g.Public.HTTPS); err != nil {
			return nil, err
		}
		if cfg.Rendezvous, err = openSocket("rendezvous", g.env("HOIST_RENDEZVOUS_ADDR"), g.Public.Rendezvous); err != nil {
			return nil, err
		}
	}
	if cfg.Status, err = net.Listen("tcp", g.listenAddr()); err != nil {
		return nil, err
	}
	r, err := router.New(cfg)
	if err != nil {
		return nil, err
	}
	return routerProcess{r, g, cfg.Status.Addr().String()}, nil
}

// openSocket returns the listener that was handed over under this name, or one
// at the address, by default the public port; nil if there is neither.
func openSocket(name, address string, port int) (net.Listener, error) {
	if address == "" && port == 0 {
		return nil, nil
	}
	return socket.Listen(name, cmp.Or(address, fmt.Sprintf(":%d", port)))
}

// routerProcess is a router and its row among the components.
type routerProcess struct {
	*router.Router
	g      *ground
	status string // address of /healthz
}

func (p routerProcess) Run(ctx context.Context) error {
	row, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.g.DB.KeepRegistered(row, p.g.Bus, postgres.Registration{
			ID: hoist.NewID(), Type: hoist.ComponentRouter, Address: p.status,
		})
	}()
	defer func() { cancel(); <-gone }()
	return p.Router.Run(ctx)
}
