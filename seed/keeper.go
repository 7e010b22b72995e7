package seed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
// wrong in it. It returns when the seed was stopped, or ended before it had started at all,
// with its exit code. ctx ends with a signal, which is passed on.
func Keep(ctx context.Context, s Settings, binary string, args []string) (code int, err error) {
	if !Running(s) { // of a seed that crashed there may be one, which waits
		if err := endKeeper(ctx, s); err != nil {
			return 1, err
		}
	}
	held, err := s.take(keeperLock)
	if err != nil {
		return 1, err
	}
	defer held.Close()
	starts, err := hearStarted()
	if err != nil {
		return 1, err
	}
	defer starts.Close()
	for wait, first := keeperFirst, true; ; first = false {
		begun := time.Now()
		cmd, err := begin(s, binary, args, first, starts.LocalAddr().String())
		if first {
			if err != nil {
				return 1, err
			}
			if err := silence(); err != nil {
				note(s.LogPath(), fmt.Sprintf("the seed's keeper: %v", err))
			}
		}
		if err == nil {
			err = waitOrEnd(ctx, cmd)
		}
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			code = ended.ExitCode()
		}
		switch {
		case err == nil:
			return 0, nil
		case ctx.Err() != nil:
			return max(code, 1), nil
		// It said why it cannot start. Later its process may be that of another program that took its place.
		case first && !heardStarted(starts):
			return max(code, 1), nil
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

// begin starts a seed. What it says before it has taken its log, as why it cannot start, goes to who started
// us and, when that is long ago, into the log. notify is where the first one says that it has started.
func begin(s Settings, binary string, args []string, first bool, notify string) (*exec.Cmd, error) {
	cmd := exec.Command(binary, args...)
	if first {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	} else if log, err := os.OpenFile(s.LogPath(), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	return cmd, cmd.Start()
}

// hearStarted makes the socket on which NotifyStarted is heard, as systemd's would be. Its name is of the kernel's choice.
func hearStarted() (*net.UnixConn, error) {
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
}

func heardStarted(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _, _ = unix.Recvfrom(int(fd), make([]byte, 16), unix.MSG_DONTWAIT) })
	return err == nil && n > 0
}

// askAgain is how often a seed is asked to end that shall.
const askAgain = time.Second

// waitOrEnd waits for a seed, and asks it to end when ctx does, until it has: one that begins another program in
// its process just then takes the signal, and the other does not know.
func waitOrEnd(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan struct{})
	defer close(ended)
	defer context.AfterFunc(ctx, func() {
		for {
			cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
				return
			case <-time.After(askAgain):
			}
		}
	})()
	return cmd.Wait()
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

// endKeeper ends the keeper of a data directory, and the seed that it keeps, and returns when they have ended.
func endKeeper(ctx context.Context, s Settings) error {
	for told := 0; Kept(s); {
		if pid := s.holder(keeperLock); pid != 0 && pid != told {
			told = pid
			if keeper, err := os.FindProcess(pid); err == nil {
				if s.holder(keeperLock) == pid && Kept(s) { // it is still the same process
					keeper.Signal(syscall.SIGTERM)
				}
				keeper.Release()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the keeper of the seed in %s has not ended: %w", s.DataDir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
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
