package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"net"
	"os"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/api"
	"github.com/hoist-sh/hoist/buildpack/builtin"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentAPI,
		short: "Serve the Platform API, and make releases of what was built",
		build: func(ctx context.Context, g *ground) (hoist.Component, error) {
			drain, err := g.drain()
			if err != nil {
				return nil, err
			}
			l, err := net.Listen("tcp", g.listenAddr())
			if err != nil {
				return nil, err
			}
			// All API processes have the same DATABASE_URL. Nobody else has it, unless the database is somebody
			// else's: then the whole platform has one.
			key := sha256.Sum256([]byte("hoist api signing key\x00" + g.env("DATABASE_URL")))
			server := api.New(l, api.Config{
				DB:     g.database("apps, releases, accounts", waits),
				Bus:    g.bus("bells, output of builds", "it looks at the database every 3 s"),
				Blobs:  g.blobs("slugs and sources that are uploaded", "all else is served", "slugs/"),
				Public: g.Public, Stack: stackName(g.env), BuiltIn: builtInBuildpacks(),
				SigningKey: key[:], Proven: g.Proven, Drain: drain, Log: g.Log,
			})
			g.peer(hoist.ComponentCompile, "builds asked for over the API", "they are kept and wait")
			g.peer(hoist.ComponentRuntime, "dynos of a new release", "the release is made, and its dynos start later")
			return registered{server, g, hoist.ComponentAPI, l.Addr().String(), nil}, nil
		},
	})
}

// builtInBuildpacks maps all names of the built-in buildpacks to the first.
func builtInBuildpacks() map[string]string {
	names := map[string]string{}
	for _, p := range builtin.All {
		for _, name := range append([]string{p.Name}, p.Aliases...) {
			names[name] = p.Name
		}
	}
	return names
}

// stackName is HOIST_STACK or, as the stack is the host's own system
// directories, the host's distribution: "debian-12" (os-release(5)).
func stackName(env func(string) string) string {
	if name := env("HOIST_STACK"); name != "" {
		return name
	}
	id, version := "linux", ""
	if f, err := os.Open("/etc/os-release"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), "=")
			value = strings.Trim(value, `"'`)
			switch name {
			case "ID":
				id = value
			case "VERSION_ID":
				version = "-" + value
			}
		}
	}
	return id + version
}
