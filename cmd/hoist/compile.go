package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/compile"
	"github.com/hoist-sh/hoist/rendezvous"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentCompile,
		short: "Turn builds into slugs, each in a fresh dyno",
		build: buildCompile,
	})
}

func buildCompile(_ context.Context, g *ground) (hoist.Component, error) {
	s := compile.Settings{Self: g.ID, Proven: g.Proven, Size: g.env("HOIST_BUILD_SIZE"), Env: buildEnv(g.environ)}
	var err error
	if s.Drain, err = g.drain(); err != nil {
		return nil, err
	}
	if v := g.env("HOIST_CONCURRENCY"); v != "" {
		if s.Concurrency, err = strconv.Atoi(v); err != nil || s.Concurrency < 1 {
			return nil, fmt.Errorf("HOIST_CONCURRENCY: %q is not a number of builds at once", v)
		}
	}
	if v := g.env("HOIST_BUILD_TIMEOUT"); v != "" {
		if s.Timeout, err = time.ParseDuration(v); err != nil || s.Timeout <= 0 {
			return nil, fmt.Errorf("HOIST_BUILD_TIMEOUT: %q is not a duration such as 15m", v)
		}
	}
	if s.Size != "" && !knownSize(s.Size) {
		return nil, fmt.Errorf("HOIST_BUILD_SIZE: there is no dyno size %q", s.Size)
	}
	dial := func(ctx context.Context, listener, secret string) (io.ReadWriteCloser, error) {
		return rendezvous.Dial(ctx, listener, secret)
	}
	g.peer(hoist.ComponentRuntime, "build dynos", waits)
	worker := compile.New(s, g.database("builds to claim", waits),
		g.bus("bells, output of builds", "it looks at the database every 3 s; output is kept for when the bus is back"),
		g.blobs("sources, caches and slugs", waits, "slugs/"), dial, g.Log)
	return registered{worker, g, hoist.ComponentCompile, "", nil}, nil
}

func knownSize(name string) bool {
	for _, s := range hoist.Sizes {
		if strings.EqualFold(s.Name, name) {
			return true
		}
	}
	return false
}

// buildEnv are the HOIST_BUILD_ENV_* variables, without that prefix.
func buildEnv(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		if rest, ok := strings.CutPrefix(kv, "HOIST_BUILD_ENV_"); ok {
			if name, value, _ := strings.Cut(rest, "="); name != "" {
				env[name] = value
			}
		}
	}
	return env
}
