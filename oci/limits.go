package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hoist-sh/hoist"
)

// limit gives the container's group the limits of a dyno size; 0 is none.
func (c *cgroups) limit(name string, size hoist.Size) error {
	var errs []error
	set := func(controller, file string, value int64) {
		path := filepath.Join(c.dir(controller, name), file)
		if err := os.WriteFile(path, strconv.AppendInt(nil, value, 10), 0); err != nil {
			errs = append(errs, fmt.Errorf("oci: limit: %w", err))
		}
	}
	switch most := size.MemoryLimit(); {
	case most <= 0:
	case c.v2:
		set("memory", "memory.max", most)
		set("memory", "memory.swap.max", 0)
	default:
		set("memory", "memory.limit_in_bytes", most)
		if c.swap {
			set("memory", "memory.memsw.limit_in_bytes", most) // with swap
		}
	}
	if shares := int64(1024 * size.CPUShare / 100); shares > 0 && c.v2 {
		set("cpu", "cpu.weight", cpuWeight(shares))
	} else if shares > 0 {
		set("cpu", "cpu.shares", shares)
	}
	if size.Pids > 0 {
		set("pids", "pids.max", int64(size.Pids))
	}
	return errors.Join(errs...)
}

// cpuWeight converts version 1 shares, 2 to 262,144, to a version 2 weight, 1 to 10,000
// (https://github.com/opencontainers/crun/blob/main/crun.1.md#cpu-controller).
func cpuWeight(shares int64) int64 {
	return 1 + (min(max(shares, 2), 1<<18)-2)*9999/(1<<18-2)
}
