package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/runtime"
	"golang.org/x/sys/unix"
)

func init() {
	components = append(components, component{
		name:  hoist.ComponentRuntime,
		short: "Run the dynos of apps in containers",
		build: buildRuntime,
	})
}

// buildRuntime needs root: it makes containers. Its settings, beside those of
// docs/architecture.md, are HOIST_ENGINE (a name of its own for each worker on
// one machine), HOIST_OCI_RUNTIME, HOIST_STACK, HOIST_BLOB_GATE (ip:port),
// HOIST_MEMORY (bytes; default 80 % of the machine's), HOIST_SPARES (default 2),
// HOIST_DRAIN_ON_STOP (true), and the durations HOIST_DRAIN, HOIST_DRAIN_MOVED, HOIST_STOP_GRACE,
// HOIST_BOOT_TIMEOUT and HOIST_DRAIN_LIMIT; see oci.Config and runtime.Config.
func buildRuntime(_ context.Context, g *ground) (hoist.Component, error) {
	// The seed is isolated from its start; alone, we begin again here.
	if err := oci.Isolate(); err != nil {
		return nil, err
	}
	dir := g.env("HOIST_DIR")
	if dir == "" {
		return nil, fmt.Errorf("HOIST_DIR: name a directory for containers and slugs")
	}
	network, err := netip.ParsePrefix(cmp.Or(g.env("HOIST_NETWORK"), "10.213.4.0/22"))
	if err != nil {
		return nil, fmt.Errorf("HOIST_NETWORK: %w", err)
	}
	cfg := runtime.Config{Dir: dir, HTTPS: g.Public.HTTPS, Proven: g.Proven, Listen: g.listenAddr(), DrainOnStop: g.env("HOIST_DRAIN_ON_STOP") == "true"}
	if v := g.env("HOIST_BLOB_GATE"); v != "" {
		if cfg.BlobGate, err = netip.ParseAddrPort(v); err != nil {
			return nil, fmt.Errorf("HOIST_BLOB_GATE: %w", err)
		}
	}
	if cfg.Memory, err = dynoMemory(g.env("HOIST_MEMORY")); err != nil {
		return nil, err
	}
	// Each boot of a kernel has its own: containers have their machine's.
	if host, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		cfg.Host = strings.TrimSpace(string(host))
	}
	for name, d := range map[string]*time.Duration{
		"HOIST_DRAIN": &cfg.Drain, "HOIST_DRAIN_MOVED": &cfg.DrainMoved, "HOIST_STOP_GRACE": &cfg.StopGrace,
		"HOIST_BOOT_TIMEOUT": &cfg.BootTimeout, "HOIST_DRAIN_LIMIT": &cfg.DrainLimit,
	} {
		if v := g.env(name); v != "" {
			if *d, err = time.ParseDuration(v); err != nil || *d <= 0 {
				return nil, fmt.Errorf("%s: %q is not a duration such as 30s", name, v)
			}
		}
	}
	db := g.database("formations and dynos", "what runs goes on; what served requests is started again when it ends, also from cold")
	bus := g.bus("bells, lines of dynos", "it looks at the database every 3 s; lines are kept for when the bus is back")
	blobs := g.blobs("slugs", "those on local disk are started", "slugs/")
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ociCfg := oci.Config{
		Name: cmp.Or(g.env("HOIST_ENGINE"), "hoist"), Dir: filepath.Join(dir, "engine"), Network: network,
		Runtime: g.env("HOIST_OCI_RUNTIME"), Stack: g.env("HOIST_STACK"), Binary: binary, Log: g.Log,
		Spares: 2,
	}
	if v := g.env("HOIST_SPARES"); v != "" {
		if ociCfg.Spares, err = strconv.Atoi(v); err != nil || ociCfg.Spares < 0 {
			return nil, fmt.Errorf("HOIST_SPARES: %q is not a number of containers", v)
		}
	}
	begin := func(engine hoist.Engine) hoist.Component {
		return runtime.New(cfg, db, bus, blobs, engine, g.Log)
	}
	denied := func(ctx context.Context) []netip.AddrPort {
		list, err := elsewhere(ctx, g.env("DATABASE_URL"), g.env("NATS_URL"))
		if err != nil {
			g.Log.Warn("dynos are not kept from a part of the ground whose address is not known", "error", err)
		}
		return list
	}
	return registered{&engineRuntime{begin, ociCfg, denied}, g, hoist.ComponentRuntime, "", nil}, nil
}

// engineRuntime is a runtime with an engine, which is made only in Run: a
// predecessor on its directory may still be ending.
type engineRuntime struct {
	begin  func(hoist.Engine) hoist.Component
	oci    oci.Config
	denied func(context.Context) []netip.AddrPort
}

func (r *engineRuntime) Run(ctx context.Context) error {
	cfg := r.oci
	cfg.Denied = r.denied(ctx)
	engine, err := oci.New(cfg)
	if err != nil {
		return err
	}
	defer engine.Close()
	return r.begin(engine).Run(ctx)
}

// dynoMemory is what dynos may use of this machine, in bytes.
func dynoMemory(setting string) (int64, error) {
	if setting != "" {
		n, err := strconv.ParseInt(setting, 10, 64)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("HOIST_MEMORY: %q is not a number of bytes", setting)
		}
		return n, nil
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	return int64(info.Totalram) * int64(info.Unit) / 10 * 8, nil
}
