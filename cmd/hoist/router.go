package main

import (
	"cmp"
	"context"
	"fmt"
	"net"

	"github.com/hoist-sh/hoist"
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
	return registered{r, g, hoist.ComponentRouter, cfg.Status.Addr().String(), nil}, nil
}

// openSocket returns the listener that was handed over under this name, or one
// at the address, by default the public port; nil if there is neither.
func openSocket(name, address string, port int) (net.Listener, error) {
	if address == "" && port == 0 {
		return nil, nil
	}
	return socket.Listen(name, cmp.Or(address, fmt.Sprintf(":%d", port)))
}
