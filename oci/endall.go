package oci

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// EndAll ends the processes of all containers of engines by their names, with those within: SIGTERM and,
// after grace, SIGKILL. It needs no engine, and removes nothing: the machine goes off.
func EndAll(ctx context.Context, engines []string, grace time.Duration) {
	send := func(sig unix.Signal) (there bool) {
		for _, pid := range allPids(engines) {
			there = true
			if sig != 0 {
				unix.Kill(pid, sig)
			}
		}
		return there
	}
	send(unix.SIGTERM)
	for end := time.Now().Add(grace); send(0) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(50 * time.Millisecond)
	}
	for end := time.Now().Add(5 * time.Second); send(unix.SIGKILL) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
}

// allPids are the processes in engines' control groups, however deep.
func allPids(engines []string) (pids []int) {
	for _, name := range engines {
		filepath.WalkDir(cgroupsOf(name).dir("pids", ""), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				pids = append(pids, readPids(filepath.Join(path, "cgroup.procs"))...)
			}
			return nil
		})
	}
	return pids
}
