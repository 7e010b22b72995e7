package e2e

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TinyCC compiles itself in one-off dynos: what it says arrives as it is said, on a
// terminal and through a pipe, and the comparison decides the exit code.
func TestCompilers(t *testing.T) {
	name := randomName("compilers")
	dir := filepath.Join(shared.Home, name)
	if err := os.CopyFS(dir, os.DirFS("../examples/compilers")); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, shared.userEnviron()
		return cmd
	}
	do := func(args ...string) {
		t.Helper()
		if out, err := command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	// As in the example's README.
	do("git", "init", "-q")
	do(hoistBin, "create", name)
	t.Cleanup(func() { shared.call("DELETE", "/apps/"+name, shared.Token, nil, nil) })
	do("git", "add", "-A")
	do("git", "commit", "-q", "-m", "compilers")
	do("git", "push", "-q", "hoist", "main")

	terminal := func(cmd *exec.Cmd, out io.Writer) error {
		f, err := pty.Start(cmd)
		if err != nil {
			return err
		}
		defer f.Close()
		io.Copy(out, f) // ends with EIO when the last process closes the terminal
		return cmd.Wait()
	}
	pipe := func(cmd *exec.Cmd, out io.Writer) error {
		cmd.Stdout, cmd.Stderr = out, out
		return cmd.Run()
	}
	t.Run("itself", func(t *testing.T) {
		out, err := live(t, command(hoistBin, "run", "bin/tcc.sh"), terminal)
		if err != nil || !strings.Contains(out, "stage 2 = stage 3, bit for bit") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("sabotaged", func(t *testing.T) {
		// The compiler of stage 2 puts something of its own into stage 3.
		script := filepath.Join(dir, "bin/tcc.sh")
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		const kept = `  cp tcc "$work/stage$stage/"` + "\n"
		worse := strings.Replace(string(text), kept, kept+`  [ $stage != 3 ] || echo "I was here" >> "$work/stage3/tcc"`+"\n", 1)
		if worse == string(text) {
			t.Fatal("the script has changed")
		}
		if err := os.WriteFile(script, []byte(worse), 0o755); err != nil {
			t.Fatal(err)
		}
		do("git", "commit", "-q", "-a", "-m", "sabotage")
		do("git", "push", "-q", "hoist", "main")
		out, err := live(t, command(hoistBin, "run", "bin/tcc.sh"), pipe)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "stage 2 and stage 3 differ") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// live runs a command of several seconds whose steps have to be seen one after the other.
func live(t *testing.T, cmd *exec.Cmd, run func(*exec.Cmd, io.Writer) error) (string, error) {
	t.Helper()
	steps := []string{"Fetching TinyCC", "Stage 1: compiled by gcc", "Testing stage 1", "Comparing"}
	began := time.Now()
	seen := map[string]time.Duration{}
	out := &heardBuffer{heard: func(out string) {
		for _, step := range steps {
			if _, ok := seen[step]; !ok && strings.Contains(out, step) {
				seen[step] = time.Since(began)
			}
		}
	}}
	err := run(cmd, out)
	t.Logf("in %s: %v", time.Since(began).Round(100*time.Millisecond), seen)
	for i, step := range steps[1:] {
		// Each takes more than that even on a fast machine.
		if seen[step]-seen[steps[i]] < 200*time.Millisecond {
			t.Errorf("%q came with %q, at %s", step, steps[i], seen[step])
		}
	}
	return out.String(), err
}
