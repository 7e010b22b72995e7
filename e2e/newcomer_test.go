package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newcomer is a person who has the program and an empty home: no login, no key, no settings of git's. ssh
// does not go by $HOME, and takes that of who runs the tests.
type newcomer struct {
	p    *platform
	home string
}

func (p *platform) newcomer() newcomer {
	return newcomer{p, filepath.Join(filepath.Dir(p.Dir), "newcomer")}
}

func (n newcomer) environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.home, "LANG=C.UTF-8"}
	return append(env, n.p.seedEnv()[len(os.Environ()):]...)
}

func (n newcomer) hoist(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hoistBin, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = n.environ(), n.home, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("hoist %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// up is the second half of `make up`. It must say what is wanted.
func (n newcomer) up(want ...string) error {
	example, err := filepath.Abs("../examples/static")
	if err != nil {
		return err
	}
	out, err := n.hoist("up", "--example", example)
	for _, text := range append(want, "200 OK from ") {
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("hoist up does not say %q:\n%s", text, out)
		}
	}
	return err
}

// startByUp starts a platform as a newcomer does.
func startByUp(p *platform) error {
	n := p.newcomer()
	err := errors.Join(os.Mkdir(n.home, 0o700), n.up("running now", "password ", "made, working copy in "+n.home, "Try next:"))
	if err != nil {
		forgetHost(p.SSH)
	}
	return err
}

// upAgain loses some of what `hoist up` made, and has it repaired. Nothing is made twice.
func (w *selfWorld) upAgain(t *testing.T, n newcomer) {
	t.Helper()
	made := func() string {
		var list []struct{ Accounts, Keys, Releases int }
		if err := w.query(&list, `SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM keys) AS keys,
			(SELECT count(*) FROM releases r JOIN apps a ON a.id = r.app_id WHERE a.name = 'hello') AS releases`); err != nil {
			t.Fatal(err)
		}
		password, err := os.ReadFile(filepath.Join(n.home, ".config/hoist/password"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%+v %s", list, password)
	}
	before := made()
	forgetHost(w.SSH)
	if out, err := exec.Command("git", "-C", filepath.Join(n.home, "hoist-hello"), "remote", "remove", "hoist").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := n.up("it has run for ", "logged in as ", "it is there already", "Everything up-to-date"); err != nil {
		t.Fatal(err)
	}
	if now := made(); now != before {
		t.Errorf("hoist up, run again, made %s of %s", now, before)
	}
}

// goEnv is a setting of the go command here.
func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
