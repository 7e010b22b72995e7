package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ociRuntime drives crun or runc by its command line
// (https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#operations).
type ociRuntime struct {
	name string // "crun", "runc"
	path string
	root string // its own state; must survive us
	slot chan struct{}
}

// stdio are the standard streams of a container; nil for those on a terminal.
type stdio [3]*os.File

// start makes and starts the container of a bundle, detached, and returns the id
// of its first process. That has gate as descriptor 3.
func (r *ociRuntime) start(ctx context.Context, id, bundle, console string, std stdio, gate *os.File) (int, error) {
	pidFile := filepath.Join(bundle, "pid")
	args := []string{"run", "--detach", "--preserve-fds", "1", "--bundle", bundle, "--pid-file", pidFile}
	if console != "" {
		args = append(args, "--console-socket", console)
	}
	if err := r.run(ctx, bundle, std, gate, append(args, id)...); err != nil {
		return 0, err
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, fmt.Errorf("oci: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("oci: %s wrote a pid file with %q", r.name, data)
	}
	return pid, nil
}

// delete kills the container if it runs and removes all the runtime made for it.
func (r *ociRuntime) delete(ctx context.Context, id string) error {
	if _, err := os.Stat(filepath.Join(r.root, id)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := r.run(ctx, "", stdio{}, nil, "delete", "--force", id)
	if err == nil {
		return nil
	}
	// State torn by a power cut cannot be deleted by the runtime itself.
	if rmErr := os.RemoveAll(filepath.Join(r.root, id)); rmErr != nil {
		return errors.Join(err, rmErr)
	}
	return nil
}

// run executes the runtime. Its messages go to a log in dir, since standard
// error may be the container's.
func (r *ociRuntime) run(ctx context.Context, dir string, std stdio, gate *os.File, args ...string) error {
	r.slot <- struct{}{}
	defer func() { <-r.slot }()
	global := []string{"--root", r.root}
	log := filepath.Join(dir, "runtime.log")
	if dir != "" {
		global = append(global, "--log", log)
	}
	cmd := exec.CommandContext(ctx, r.path, append(global, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	var stderr bytes.Buffer
	switch {
	case dir == "":
		cmd.Stderr = &stderr
	case std[1] != nil:
		cmd.Stdin, cmd.Stdout, cmd.Stderr = std[0], std[1], std[2]
	}
	if gate != nil {
		cmd.ExtraFiles = []*os.File{gate}
	}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := stderr.String()
	if dir != "" {
		if data, readErr := os.ReadFile(log); readErr == nil && len(data) > 0 {
			text = string(data)
		}
	}
	return fmt.Errorf("oci: %s %s: %w: %s", r.name, args[0], err, strings.TrimSpace(text))
}
