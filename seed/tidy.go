package seed

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

// tidy removes what is left in the places of runtimes that nobody has: the power failed while there was
// one more, say. Who takes a place removes it, too, but that may never be.
func (y *system) tidy(ctx context.Context) {
	cfg := &y.seed.cfg
	place := func(name, dir string, network netip.Prefix) {
		dir = filepath.Join(dir, "engine")
		if !hasContainers(dir) {
			return
		}
		engine, err := cfg.Engine(name, dir, network)
		if err != nil {
			y.log.Warn("what is left of a runtime's dynos", "engine", name, "err", err)
			return
		}
		y.log.Info("removing what is left of a runtime's dynos", "engine", name)
		if err := engine.Teardown(ctx); err != nil {
			y.log.Error("what is left of a runtime's dynos", "engine", name, "err", err)
		}
	}
	if own := y.inside(hoist.ComponentRuntime); own != nil && own.idle() {
		place(cfg.Name(), cfg.file(hoist.ComponentRuntime), cfg.insideNetwork())
	}
	taken := map[int]bool{}
	for _, d := range y.dynos {
		taken[d.slot] = true
	}
	for slot := 1; slot < workers; slot++ {
		if network, err := cfg.workerNetwork(slot); err == nil && !taken[slot] {
			place(cfg.workerName(slot), cfg.workerDir(slot), network)
		}
	}
}

// hasContainers reports whether an engine has any in its directory, or has not ended to remove or make one.
func hasContainers(dir string) bool {
	for _, part := range []string{"containers", "spares", "run"} {
		list, _ := os.ReadDir(filepath.Join(dir, part))
		if slices.ContainsFunc(list, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), ".") }) { // .cache is crun's own
			return true
		}
	}
	return false
}
