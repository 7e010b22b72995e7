package proof

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
)

// git takes a push by each of its doors, the second with what the first said it has.
func (p *Prover) git(ctx context.Context, w *world, d Process) error {
	if d.Doors["ssh"] == "" {
		return errors.New("it has no door for SSH")
	}
	commit, _, err := p.push(ctx, w, "http://"+d.Address+"/"+appName+".git")
	if err != nil {
		return fmt.Errorf("over HTTP: %w", err)
	}
	if _, err := p.released(ctx, w, commit); err != nil {
		return err
	}
	door := "ssh://git@" + d.Doors["ssh"] + "/" + appName + ".git"
	has, err := p.run(ctx, w, "", "ls-remote", door, "refs/heads/main")
	if err != nil {
		return fmt.Errorf("over SSH: %w", err)
	}
	if !strings.HasPrefix(has, commit) {
		return fmt.Errorf("it took commit %.12s over HTTP and has %.12s over SSH", commit, has)
	}
	if commit, _, err = p.push(ctx, w, door); err != nil {
		return fmt.Errorf("over SSH: %w", err)
	}
	_, err = p.released(ctx, w, commit)
	return err
}

// released returns the build of a commit, which has to have become a release.
func (p *Prover) released(ctx context.Context, w *world, commit string) (hoist.Build, error) {
	builds, err := p.cfg.DB.Builds(ctx, w.app.ID)
	if err != nil {
		return hoist.Build{}, err
	}
	for _, b := range builds {
		if b.SourceVersion == commit && b.ReleaseID != "" {
			return b, nil
		}
	}
	return hoist.Build{}, fmt.Errorf("it took commit %.12s, but there is no release of it", commit)
}

// push makes a commit of the fixture with another text and pushes it.
func (p *Prover) push(ctx context.Context, w *world, url string) (commit, text string, err error) {
	dir, err := os.MkdirTemp(p.cfg.Dir, pushDirs)
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	text = hoist.NewSecret()
	for name, text := range map[string]string{"Procfile": procfile, nonce: text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", "", err
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "Proof"}, {"push", "-q", "-f", url, "main"}} {
		if _, err := p.run(ctx, w, dir, args...); err != nil {
			return "", "", err
		}
	}
	commit, err = p.run(ctx, w, dir, "rev-parse", "HEAD")
	return commit, text, err
}

// run runs git, with nothing of this machine's settings.
func (p *Prover) run(ctx context.Context, w *world, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	// git's helpers go with it: one that was left would wait for the push's end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// The token is no argument, as everybody on a machine sees those.
	cmd.Env = []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("proof:"+w.token)),
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.cfg.Dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=hoist", "GIT_AUTHOR_EMAIL=" + email, "GIT_COMMITTER_NAME=hoist", "GIT_COMMITTER_EMAIL=" + email,
		"GIT_SSH_COMMAND=ssh -F none -q -i " + hoist.ShellQuote(w.key) + " -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=10" +
			" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s failed: %s", args[0], told(string(out), err))
	}
	return strings.TrimSpace(string(out)), nil
}

// told is the reason among what git said: a refusal's lines, or the last.
func told(out string, err error) string {
	var lines, refusals []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "remote:"))
		if text, ok := strings.CutPrefix(line, "!"); ok {
			refusals = append(refusals, strings.TrimSpace(text))
		} else if line != "" {
			lines = append(lines, line)
		}
	}
	switch {
	case len(refusals) > 0:
		return strings.Join(refusals, " ")
	case len(lines) > 0:
		return lines[len(lines)-1]
	}
	return err.Error()
}

// Chain asks the platform as a whole, by its public doors: a request, the API,
// and the next push, compiled, released and run.
func (p *Prover) Chain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptLimit, fmt.Errorf("no end within %s", attemptLimit))
	defer cancel()
	err := p.whole(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return err
}

func (p *Prover) whole(ctx context.Context) error {
	w, err := p.world(ctx)
	if err != nil {
		return err
	}
	at := func(port int) string { return net.JoinHostPort(p.cfg.Host, strconv.Itoa(port)) }
	if err := p.askRouter(ctx, "http", at(p.cfg.Public.HTTP)); err != nil {
		return fmt.Errorf("a request: %w", err)
	}
	if err := p.askAPI(ctx, w, client(at(p.cfg.Public.HTTP)), "http://api."+p.cfg.Public.Domain); err != nil {
		return fmt.Errorf("the API: %w", err)
	}
	var build hoist.Build
	commit, text, err := p.push(ctx, w, "ssh://git@"+at(p.cfg.Public.SSH)+"/"+appName+".git")
	if err == nil {
		build, err = p.released(ctx, w, commit)
	}
	if err != nil {
		return fmt.Errorf("the next push: %w", err)
	}
	// Runtimes have their own program make slugs: look into what came of it.
	if err := p.checkSlug(ctx, w, build, text); err != nil {
		return fmt.Errorf("the next build: %w", err)
	}
	return nil
}
