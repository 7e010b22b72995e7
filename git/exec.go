package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// childPath is where git and its own programs are looked for.
const childPath = "/usr/local/bin:/usr/bin:/bin"

// baseEnv is the whole environment of a git process: no configuration but
// ours, no credential of the platform.
var baseEnv = []string{
	"PATH=" + childPath,
	"HOME=/nonexistent",
	"LC_ALL=C",
	"GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null",
	"GIT_ATTR_NOSYSTEM=1",
	"GIT_TERMINAL_PROMPT=0",
	"GIT_NO_REPLACE_OBJECTS=1", // refs/replace/* are just refs here
	"GIT_PROTOCOL_FROM_USER=0",
}

// baseConfig holds for every git process (git-config(1)).
var baseConfig = []string{
	"safe.directory=*",
	"gc.auto=0",
	"maintenance.auto=false",
	"core.logAllRefUpdates=false",
	"core.fsync=none", // the blob store is what lasts
	"pack.threads=2",
	"pack.windowMemory=128m",
	"pack.packSizeLimit=0",
}

// command is a git process in its own process group, killed as a whole when
// ctx ends.
func command(ctx context.Context, config, env []string, args ...string) *exec.Cmd {
	var all []string
	for _, c := range append(baseConfig[:len(baseConfig):len(baseConfig)], config...) {
		all = append(all, "-c", c)
	}
	cmd := exec.CommandContext(ctx, gitProgram(), append(all, args...)...)
	cmd.Env = append(baseEnv[:len(baseEnv):len(baseEnv)], env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// gitProgram is the absolute path of git; our own PATH may be anything.
func gitProgram() string {
	for dir := range strings.SplitSeq(childPath, ":") {
		if path, err := exec.LookPath(dir + "/git"); err == nil {
			return path
		}
	}
	return "/usr/bin/git"
}

// run runs a git command on a repository and returns what it prints.
func run(ctx context.Context, dir string, env []string, stdin io.Reader, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := runTo(ctx, &out, dir, env, stdin, args...)
	return out.Bytes(), err
}

// runTo is run with the output going to w, whose error ends git.
func runTo(ctx context.Context, w io.Writer, dir string, env []string, stdin io.Reader, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := command(ctx, nil, env, append([]string{"--git-dir", dir}, args...)...)
	var stderr tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, endingWriter(w, cancel), &stderr
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("git %s: %w: %s", args[0], err, stderr.String())
	}
	return nil
}

// endingWriter is w, whose first error goes to cancel.
func endingWriter(w io.Writer, cancel context.CancelCauseFunc) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err != nil {
			cancel(err)
		}
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// tail keeps the end of what a process says.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }
