package oci

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups are the control groups of an engine's containers: one below
// hoist-NAME at the top of what /sys/fs/cgroup shows, which is the host's root
// or, in a nested engine, that of its own cgroup namespace.
type cgroups struct {
	root   string // /sys/fs/cgroup
	parent string // "/hoist-NAME"
	v2     bool
	swap   bool // whether memory and swap together can be limited
}

// cgroupsOf are those of an engine's containers, to look at.
func cgroupsOf(name string) *cgroups {
	c := &cgroups{root: "/sys/fs/cgroup", parent: "/hoist-" + name}
	c.v2 = isCgroup2(c.root)
	return c
}

func newCgroups(name string) (*cgroups, error) {
	c := cgroupsOf(name)
	if !c.v2 {
		_, err := os.Stat(filepath.Join(c.root, "memory/memory.memsw.limit_in_bytes"))
		c.swap = err == nil
		return c, nil
	}
	c.swap = true
	// Only the real root may have both processes and controllers for its
	// children; it has no cgroup.type. Elsewhere make room first (cgroups(7),
	// "no internal processes").
	if _, err := os.Stat(filepath.Join(c.root, "cgroup.type")); errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	leaf := filepath.Join(c.root, "init")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return nil, fmt.Errorf("oci: cgroup: %w", err)
	}
	for _, pid := range readPids(filepath.Join(c.root, "cgroup.procs")) {
		err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("oci: move process %d to its own cgroup: %w", pid, err)
		}
	}
	return c, nil
}

// weigh gives all containers together four times the weight of one process, or
// of one service, of the host, on each processor: a busy host does not starve
// them, nor they the platform. The kernel's default counts all of them as one process.
func (c *cgroups) weigh() error {
	dir := c.dir("cpu", "")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("oci: cgroup: %w", err)
	}
	file, weight := "cpu.shares", 4*1024*runtime.NumCPU() // spread over the processors
	if c.v2 {
		if err := os.WriteFile(filepath.Join(c.root, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
			return fmt.Errorf("oci: cgroup: %w", err)
		}
		file, weight = "cpu.weight", 400
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(min(weight, 1<<18))), 0); err != nil {
		return fmt.Errorf("oci: cgroup: %w", err)
	}
	return nil
}

// path is what the OCI spec calls cgroupsPath.
func (c *cgroups) path(id string) string { return filepath.Join(c.parent, id) }

// dir is the directory of a container's group; controller matters in version 1 only.
func (c *cgroups) dir(controller, id string) string {
	if c.v2 {
		return filepath.Join(c.root, c.path(id))
	}
	return filepath.Join(c.root, controller, c.path(id))
}

// pids returns the container's processes.
func (c *cgroups) pids(id string) []int {
	return readPids(filepath.Join(c.dir("pids", id), "cgroup.procs"))
}

// oomKilled reports whether the kernel killed a process of the container
// because its memory was used up. The answer is lost when the group is deleted.
func (c *cgroups) oomKilled(id string) bool {
	file := "memory.oom_control"
	if c.v2 {
		file = "memory.events"
	}
	return happened(filepath.Join(c.dir("memory", id), file), "oom_kill")
}

// pidsFull reports whether the container was refused a process or thread.
func (c *cgroups) pidsFull(id string) bool {
	return happened(filepath.Join(c.dir("pids", id), "pids.events"), "max")
}

// happened reports whether a file of counters says that an event did.
func happened(file, event string) bool {
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), event+" "); ok {
			return n != "0"
		}
	}
	return false
}

// list returns the containers that have a group.
func (c *cgroups) list() []string {
	var ids []string
	entries, _ := os.ReadDir(c.dir("pids", ""))
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// remove kills what is in the container's group, or with id "" in none, and
// removes the group from all hierarchies.
func (c *cgroups) remove(id string) error {
	dirs := []string{c.dir("", id)}
	if !c.v2 {
		dirs, _ = filepath.Glob(filepath.Join(c.root, "*", c.path(id)))
	}
	var errs []error
	for _, dir := range dirs {
		if strings.HasPrefix(dir, hybridCgroup) && !isCgroup2(hybridCgroup) {
			errs = append(errs, os.RemoveAll(dir)) // what crun wrote on the tmpfs of Isolate
			continue
		}
		errs = append(errs, removeGroup(dir, id != ""))
	}
	return errors.Join(errs...)
}

func removeGroup(dir string, kill bool) error {
	var err error
	// A nested engine made groups below.
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() && kill {
			if err := removeGroup(filepath.Join(dir, entry.Name()), kill); err != nil {
				return err
			}
		}
	}
	for range 100 {
		if kill {
			for _, pid := range readPids(filepath.Join(dir, "cgroup.procs")) {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		err = unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(10 * time.Millisecond) // processes take a moment to die
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("oci: remove cgroup %s: %w", dir, err)
	}
	return nil
}

func readPids(path string) []int {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var pids []int
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if pid, err := strconv.Atoi(s.Text()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
