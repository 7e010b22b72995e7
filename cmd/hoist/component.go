package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats"
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
	environ []string // "NAME=value"
	Public  hoist.Public
	Log     *slog.Logger

	ID        hoist.ID      // of this process, in its registration
	Probation bool          // it starts on probation
	Proven    chan struct{} // closed when there is no probation (any more)

	needs needs
	own   func() string // what the component says it waits for; may be nil
	probe string        // the key of a blob to ask for

	// Given out by database, bus and blobs.
	db    *postgres.DB
	nats  *nats.Bus
	store hoist.Blobs // nil if there is no BLOB_URL
}

func (c component) command() *cobra.Command {
	return &cobra.Command{
		Use:     c.name,
		Short:   c.short,
		GroupID: "platform",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd.Context(), os.Environ(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
}

// run builds the component from an environment and runs it until it ends.
func (c component) run(ctx context.Context, environ []string, log *slog.Logger) error {
	g, err := newGround(ctx, c.name, environ, log)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	defer g.close()
	built, err := c.build(ctx, g)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if w, ok := built.(interface{ WaitsFor() string }); ok {
		g.own = w.WaitsFor
	}
	reporting, stop := context.WithCancel(context.WithoutCancel(ctx)) // also while it finishes
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		g.report(reporting, g.ID)
	}()
	defer func() { stop(); <-gone }()
	if err := built.Run(ctx); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // it was asked to end, and did
}

func newGround(ctx context.Context, name string, environ []string, log *slog.Logger) (_ *ground, err error) {
	g := &ground{environ: environ, Log: log.With("component", name), Proven: make(chan struct{})}
	g.ID, g.Probation = cmp.Or(g.env("HOIST_COMPONENT_ID"), hoist.NewID()), g.env("HOIST_PROBATION") == "true"
	g.Public = hoist.Public{Domain: g.env("HOIST_DOMAIN"), Secure: g.env("HOIST_SECURE") == "true"}
	for name, port := range map[string]*int{
		"HOIST_HTTP_PORT": &g.Public.HTTP, "HOIST_HTTPS_PORT": &g.Public.HTTPS,
		"HOIST_SSH_PORT": &g.Public.SSH, "HOIST_RENDEZVOUS_PORT": &g.Public.Rendezvous,
	} {
		if v := g.env(name); v != "" {
			if *port, err = strconv.Atoi(v); err != nil {
				return nil, fmt.Errorf("%s: %q is not a port", name, v)
			}
		}
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL"} {
		if g.env(name) == "" {
			return nil, fmt.Errorf("%s is not set; `hoist seed env` prints what a component needs", name)
		}
	}
	if v := g.env("BLOB_URL"); v != "" { // not all components have blobs
		if g.store, err = blob.Open(v); err != nil {
			return nil, err
		}
	}
	if g.db, err = postgres.Open(ctx, g.env("DATABASE_URL")); err != nil {
		return nil, err
	}
	if g.nats, err = nats.Connect(g.env("NATS_URL"), g.Log); err != nil {
		g.db.Close()
		return nil, err
	}
	return g, nil
}

func (g *ground) close() {
	g.nats.Close()
	g.db.Close()
}

// env is a variable of the component's environment, which is not that of the
// process when the seed runs it. The last of several wins, as in os/exec.
func (g *ground) env(name string) string {
	for _, kv := range slices.Backward(g.environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// drain is how long the component may finish what is under way when it is told
// to stop; 0 if that is left to it.
func (g *ground) drain() (d time.Duration, err error) {
	const name = "HOIST_DRAIN"
	if v := g.env(name); v != "" {
		if d, err = time.ParseDuration(v); err != nil || d < 0 {
			return 0, fmt.Errorf("%s: %q is not a duration such as 1h", name, v)
		}
	}
	return d, nil
}

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
