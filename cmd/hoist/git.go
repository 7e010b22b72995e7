package main

import (
	"context"
	"errors"
	"os"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/git"
	"github.com/spf13/cobra"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentGit,
		short: "Take git push, fetch and clone over SSH and HTTP",
		build: newGit,
	})
	commands = append(commands, &cobra.Command{
		Use:    git.HookName,
		Short:  "Be git's pre-receive hook",
		Hidden: true,
		Args:   cobra.NoArgs,
		Run:    func(*cobra.Command, []string) { os.Exit(git.Hook(os.Stdin, os.Stderr)) },
	})
}

func newGit(_ context.Context, g *ground) (hoist.Component, error) {
	dir := g.env("HOIST_DIR")
	if dir == "" {
		return nil, errors.New("HOIST_DIR is not set")
	}
	drain, err := g.drain()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := g.env("HOIST_SSH_ADDR")
	if address == "" {
		address = "127.0.0.1:0"
	}
	g.peer(hoist.ComponentCompile, "slugs of what is pushed", "a push is kept and waits; fetch and clone are served")
	g.peer(hoist.ComponentAPI, "releases of what is built", "a push is kept and waits; fetch and clone are served")
	return git.New(git.Config{
		DB:      g.database("accounts, keys, refs", waits),
		Bus:     g.bus("bells, output of builds", "it looks at the database every 3 s"),
		Blobs:   g.blobs("packs of repositories", "repositories whose packs are on local disk are served", "repos/"),
		Public:  g.Public,
		Log:     g.Log,
		Dir:     dir,
		Hook:    self,
		SSH:     address,
		HTTP:    g.listenAddr(),
		HostKey: g.env("HOIST_SSH_HOST_KEY"),
		Register: func(ctx context.Context, http, ssh string) {
			g.register(ctx, hoist.ComponentGit, http, map[string]string{"ssh": ssh})
		},
		Proven: g.Proven,
		Drain:  drain,
	}), nil
}
