package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

// Memory returns the bytes that a container's processes use, tmpfs and the kernel's part
// included: all that is charged to it but the cache of files, which the kernel
// takes back when it needs memory
// (https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files).
func (e *Engine) Memory(_ context.Context, id hoist.ID) (int64, error) {
	c, err := e.container(id)
	if err != nil {
		return 0, err
	}
	used, err := e.cgroups.memory(c.name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, hoist.NotFound("container")
	}
	return used, err
}

func (c *cgroups) memory(name string) (int64, error) {
	dir := c.dir("memory", name)
	file, prefix := "memory.usage_in_bytes", "total_" // with the groups below
	if c.v2 {
		file, prefix = "memory.current", ""
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, fmt.Errorf("oci: memory: %w", err)
	}
	used, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("oci: memory: %w", err)
	}
	stat, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0, fmt.Errorf("oci: memory: %w", err)
	}
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != prefix+"inactive_file" && name != prefix+"active_file" {
			continue
		}
		cached, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("oci: memory: %w", err)
		}
		used -= cached
	}
	return max(used, 0), nil
}
