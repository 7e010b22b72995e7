package oci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ociRuntime drives crun or runc by its command line
// (https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#operations).
type ociRuntime struct {
	name string // "crun", "runc"
	path string
	root string // its own state; must survive us
	slot chan struct{}

	later *time.Timer // reaps helpers
}

// startLimit is how long a runtime may take to make a container, on a busy machine.
const startLimit = time.Minute

// stdio are the standard streams of a container; nil for those on a terminal.
type stdio [3]*os.File

// start begins to make and start the container of a bundle, detached; its first process
// has the files from descriptor 3 on. done waits until the runtime has finished and
// returns the process's id.
func (r *ociRuntime) start(ctx context.Context, id, bundle, console string, std stdio, files []*os.File) (done func() (int, error), err error) {
	pidFile := filepath.Join(bundle, "pid")
	args := []string{"run", "--detach", "--preserve-fds", strconv.Itoa(len(files)), "--bundle", bundle, "--pid-file", pidFile}
	if console != "" {
		args = append(args, "--console-socket", console)
	}
	// Its messages go to a log, since standard error is the container's.
	log := filepath.Join(bundle, "runtime.log")
	// It is let finish: its forks would go on without it, and make things after all was removed.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	cmd := r.command(whole, append([]string{"--log", log}, append(args, id)...)...)
	cmd.ExtraFiles = files
	// A ^C meant for us must not kill it half-way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if std[1] != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = std[0], std[1], std[2]
	}
	r.slot <- struct{}{}
	if err := cmd.Start(); err != nil {
		cancel()
		<-r.slot
		return nil, fmt.Errorf("oci: %w", err)
	}
	return func() (int, error) {
		defer cancel()
		err := cmd.Wait()
		<-r.slot
		reapHelpers(r.name)
		// One may end after the runtime has, and the kernel's list of children lacks some while others come and go.
		r.later.Reset(time.Second)
		if ctx.Err() != nil {
			reapStray(pidFile)
			return 0, ctx.Err()
		}
		if err != nil {
			text, _ := os.ReadFile(log)
			return 0, fmt.Errorf("oci: %s run: %w: %s", r.name, err, bytes.TrimSpace(text))
		}
		data, err := os.ReadFile(pidFile)
		if err != nil {
			return 0, fmt.Errorf("oci: %w", err)
		}
		pid, err := strconv.Atoi(string(bytes.TrimSpace(data)))
		if err != nil {
			return 0, fmt.Errorf("oci: %s wrote a pid file with %q", r.name, data)
		}
		return pid, nil
	}, nil
}

// reapStray ends and reaps the first process of a container that was made
// although nobody wants it any more. It is our child, so its pid is nobody else's.
func reapStray(pidFile string) {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil {
		return
	}
	for range 500 {
		if reaped, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil || reaped == pid {
			return
		}
		unix.Kill(pid, unix.SIGKILL)
		pause()
	}
}

// forget removes what the runtime noted of a container that has no process and no control
// group any more. `delete` would do no more, for the price of a process.
func (r *ociRuntime) forget(name string) error {
	if err := os.RemoveAll(filepath.Join(r.root, name)); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	return nil
}

func (r *ociRuntime) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, r.path, append([]string{"--root", r.root}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}
