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
	drain, err := g.drain()
	if err != nil {
		return nil, err
	}
	settings, err := router.SettingsFrom(g.env, drain)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{hoist.ComponentAPI, hoist.ComponentGit, hoist.ComponentLogs} {
		g.peer(name, "requests to the platform's own host of it", "requests to apps are served")
	}
	g.peer(hoist.ComponentRuntime, "clients of attached dynos", "requests are served by the dynos that run")
	cfg := router.Config{Public: g.Public, Log: g.Log, Dir: g.env("HOIST_DIR"), Settings: settings,
		Store: g.database("routes", "it starts from its last snapshot, and serves that"),
		Bus:   g.bus("bells, log lines", "it reads the routes every 3 s")}
	if cert, key := g.env("HOIST_TLS_CERT"), g.env("HOIST_TLS_KEY"); cert != "" {
		if cfg.GetCertificate, err = router.Certificate(cert, key, g.Log); err != nil {
			return nil, err
		}
	}
	doors := map[string]string{}
	if err := g.openFront(doors, "http", g.env("HOIST_HTTP_ADDR"), g.Public.HTTP, &cfg.HTTP, &cfg.Private.HTTP); err != nil {
		return nil, err
	}
	if cfg.GetCertificate == nil {
		g.Log.Warn("no HTTPS and no attached dynos: HOIST_TLS_CERT and HOIST_TLS_KEY are not set")
	} else {
		if err := g.openFront(doors, "https", g.env("HOIST_HTTPS_ADDR"), g.Public.HTTPS, &cfg.HTTPS, &cfg.Private.HTTPS); err != nil {
			return nil, err
		}
		if err := g.openFront(doors, "rendezvous", g.env("HOIST_RENDEZVOUS_ADDR"), g.Public.Rendezvous, &cfg.Rendezvous, &cfg.Private.Rendezvous); err != nil {
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
	return registered{r, g, hoist.ComponentRouter, cfg.Status.Addr().String(), doors}, nil
}

// openFront opens the public listener that was handed over under this name, or
// one at the address, by default the public port, to be accepted on once the
// component has proven itself; and a private one, noted in doors, that does the
// same at once. Both stay nil if there is neither address nor port.
func (g *ground) openFront(doors map[string]string, name, address string, port int, public, private *net.Listener) error {
	if address == "" && port == 0 {
		return nil
	}
	l, err := socket.Listen(name, cmp.Or(address, fmt.Sprintf(":%d", port)))
	if err != nil {
		return err
	}
	own, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	doors[name] = own.Addr().String()
	*public, *private = socket.Gate(l, g.Proven), own
	return nil
}
