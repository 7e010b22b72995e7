package seed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// How long the keeper waits before it starts a seed again: doubled each time, and
// forgotten when it ran well for a while.
const (
	keeperFirst = 500 * time.Millisecond
	keeperMost  = 10 * time.Second
)

// Keep runs a seed and starts it again when it ended by a fault: a panic in a
// goroutine of a component takes the whole process, and so the seed, like all else
// here, is made to be killed at any time. It is what a unit of systemd does
// where there is none: a process that does nothing else, so that nothing can go
// wrong in it. It returns when the seed was stopped, or could not start at all,
// with its exit code. ctx ends with a signal, which is passed on.
func Keep(ctx context.Context, s Settings, binary string, args []string) (code int, err error) {
	for wait, first := keeperFirst, true; ; first = false {
		cmd := exec.Command(binary, args...)
		// Until it has taken its log, what it writes goes to who started us.
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		begun := time.Now()
		if err := cmd.Start(); err != nil {
			return 1, err
		}
		if first {
			if err := silence(); err != nil {
				note(s.LogPath(), fmt.Sprintf("the seed's keeper: %v", err))
			}
		}
		done := make(chan struct{})
		go func() {
			select {
			case <-ctx.Done():
				cmd.Process.Signal(syscall.SIGTERM)
			case <-done:
			}
		}()
		err := cmd.Wait()
		close(done)
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			code = ended.ExitCode()
		}
		switch {
		case err == nil:
			return 0, nil
		case ctx.Err() != nil:
			return max(code, 1), nil
		case first && code == 1: // it said why it cannot start
			return code, nil
		case Running(s): // somebody else started another one, which has a keeper too
			return 0, nil
		}
		if time.Since(begun) > goodRun {
			wait = keeperFirst
		}
		note(s.LogPath(), fmt.Sprintf("the seed ended (%v): its keeper starts it again after %s", err, wait))
		select {
		case <-ctx.Done():
			return 1, nil
		case <-time.After(wait):
		}
		wait = min(2*wait, keeperMost)
	}
}

// silence lets go of the streams that we were started with: who waits for their end sees it when
// the seed has let go of them too.
func silence() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return nil
}

// note adds a line to the seed's log.
func note(path, text string) {
	if f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
		defer f.Close()
		fmt.Fprintf(f, "time=%s level=ERROR msg=%q\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), text)
	}
}
