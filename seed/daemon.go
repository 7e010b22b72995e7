package seed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Daemon starts a seed in the background: as a unit where there is systemd,
// else as a process of its own session. It returns when everything is ready;
// meanwhile waiting is told what is not. args are those of the seed command in
// the foreground.
func Daemon(ctx context.Context, s Settings, binary string, args []string, waiting func(what string)) error {
	for said := false; Running(s); said = true {
		if st, err := AskStatus(ctx, s); err == nil && !st.Stopping {
			waiting("a seed runs already in " + s.DataDir)
			return WaitReady(ctx, s, waiting)
		}
		if !said {
			waiting("waiting for the one before to stop, or to start")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the seed in %s does not answer: %w", s.DataDir, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := s.makeDir(); err != nil {
		return err
	}
	start := startProcess
	if hasSystemd() && os.Geteuid() == 0 {
		start = startUnit
	}
	if err := start(ctx, s, binary, args); err != nil && !Running(s) { // else the keeper of a killed one was faster
		return err
	}
	return WaitReady(ctx, s, waiting)
}

// startProcess starts the seed in a session of its own, with a keeper. What it writes before
// it has taken its log is why it cannot start.
func startProcess(ctx context.Context, _ Settings, binary string, args []string) error {
	cmd := exec.Command(binary, append(slices.Clone(args), "--keep")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Now()) })
	defer stop()
	said, err := io.ReadAll(r)
	if len(said) > 0 { // it says nothing if all is well
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-ctx.Done():
		}
		return errors.New(strings.TrimSpace(strings.ReplaceAll(string(said), " !    ", "")))
	}
	return errors.Join(err, cmd.Process.Release())
}

// WaitReady returns when a seed has everything running.
func WaitReady(ctx context.Context, s Settings, waiting func(what string)) error {
	last := ""
	for {
		st, err := AskStatus(ctx, s)
		what := strings.Join(st.WaitsFor, ", ")
		switch {
		case err != nil && !Running(s):
			return fmt.Errorf("The seed has ended; `hoist seed logs` shows why (%s).", s.LogPath())
		case err != nil:
			what = "the seed"
		case st.Ready:
			return nil
		}
		if what != last {
			waiting("waiting for " + what)
			last = what
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("It still waits for %s; it goes on in the background. `hoist seed status` and `hoist seed logs` show more.", last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
