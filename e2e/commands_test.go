package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are the words the scripts have beside testscript's own.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"await":  await,
	"commit": commit,
}

// await DURATION REGEXP COMMAND ARGS… runs the command again and again until
// its output matches, or with ! before it until it no longer does.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: await DURATION REGEXP COMMAND ARGS…")
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.Now().Add(limit)
	for {
		err := ts.Exec(args[2], args[3:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if re.MatchString(out) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %s %q matched: %v; last error %v; last output:\n%s", limit, args[1], neg, err, out)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// commit [MESSAGE] makes the directory a git repository if it is none, and
// commits everything in it to main.
func commit(ts *testscript.TestScript, _ bool, args []string) {
	message := "first"
	if len(args) > 0 {
		message = strings.Join(args, " ")
	}
	if _, err := os.Stat(ts.MkAbs(".git")); err != nil {
		ts.Check(ts.Exec("git", "init", "-q", "-b", "main"))
	}
	ts.Check(ts.Exec("git", "add", "-A"))
	ts.Check(ts.Exec("git", "commit", "-q", "--allow-empty", "-m", message))
}

// ptyMain runs a command on a terminal of its own, as a person would, and
// prints what appears there.
func ptyMain() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	if stdin, err := io.ReadAll(os.Stdin); err == nil && len(stdin) > 0 {
		go func() {
			time.Sleep(3 * time.Second) // a person types when the program has started
			io.Copy(f, bytes.NewReader(stdin))
		}()
	}
	io.Copy(os.Stdout, f) // ends with EIO when the last process closes the terminal
	if err := cmd.Wait(); err != nil {
		os.Exit(max(cmd.ProcessState.ExitCode(), 1))
	}
}
