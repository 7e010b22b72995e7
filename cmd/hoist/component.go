package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/spf13/cobra"
)

// components are the process types of the platform, each also a subcommand.
// Each file named after a component adds one in its init.
var components []component

// commands are the other subcommands, added by their files.
var commands []*cobra.Command

// component is one process type: what `hoist NAME` and the seed run.
type component struct {
	name  string
	short string
	build func(ctx context.Context, g *ground) (hoist.Component, error)
}

// ground is what a component is built from; its settings come from an
// environment (see docs/architecture.md).
type ground struct {
	env    func(string) string
	DB     *postgres.DB
	Bus    hoist.Bus
	Blobs  hoist.Blobs
	Public hoist.Public
	Log    *slog.Logger
}

func (c component) command() *cobra.Command {
	return &cobra.Command{
		Use:     c.name,
		Short:   c.short,
		GroupID: "platform",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd.Context(), os.Getenv, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
}

func (c component) run(ctx context.Context, env func(string) string, log *slog.Logger) error {
	g, err := newGround(ctx, c.name, env, log)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	defer g.close()
	built, err := c.build(ctx, g)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return built.Run(ctx)
}

func newGround(ctx context.Context, name string, env func(string) string, log *slog.Logger) (*ground, error) {
	db, err := postgres.Open(ctx, env("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	g := &ground{env: env, DB: db, Log: log.With("component", name)}
	g.Public = hoist.Public{Domain: env("HOIST_DOMAIN"), Secure: env("HOIST_SECURE") == "true"}
	for name, port := range map[string]*int{
		"HOIST_HTTP_PORT": &g.Public.HTTP, "HOIST_HTTPS_PORT": &g.Public.HTTPS,
		"HOIST_SSH_PORT": &g.Public.SSH, "HOIST_RENDEZVOUS_PORT": &g.Public.Rendezvous,
	} {
		if v := env(name); v != "" {
			if *port, err = strconv.Atoi(v); err != nil {
				return nil, fmt.Errorf("%s: %q is not a port", name, v)
			}
		}
	}
	return g, nil
}

func (g *ground) close() { g.DB.Close() }

// listenAddr is where the component's own server listens.
func (g *ground) listenAddr() string {
	bind, port := g.env("HOIST_BIND"), g.env("PORT")
	if bind == "" {
		bind = "127.0.0.1"
	}
	if port == "" {
		port = "0"
	}
	return bind + ":" + port
}
