package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
)

type gitRemoteCommand struct {
	*CLI
	app, remote string
	ssh         bool
}

func (c *CLI) gitRemote() *cobra.Command {
	g := &gitRemoteCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "git:remote [APP]", Short: "Make the git remote of an app, to push to",
		Example:           "$ hoist git:remote --app my-app\n$ git push hoist main",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: c.completeApps,
		RunE:              g.run,
	}
	cmd.Flags().StringVarP(&g.app, "app", "a", "", "the app")
	cmd.Flags().StringVarP(&g.remote, "remote", "r", "hoist", "name of the remote")
	cmd.Flags().BoolVar(&g.ssh, "ssh", false, "push over SSH, with a key of hoist keys, instead of HTTP with your login")
	cmd.RegisterFlagCompletionFunc("app", c.completeApps)
	return cmd
}

func (g *gitRemoteCommand) run(cmd *cobra.Command, args []string) error {
	t := &target{CLI: g.CLI, app: g.app}
	if len(args) == 1 {
		t.app = args[0]
	}
	if !inRepository(cmd.Context(), g.Dir) {
		return errors.New("Here is no git repository. `git init` makes one.")
	}
	return t.on(func(ctx context.Context, _ []string) error {
		var a app
		if err := t.api.get(ctx, t.path(), &a); err != nil {
			return err
		}
		if !g.ssh {
			return t.setRemote(ctx, g.remote, a.GitURL)
		}
		if a.SSHURL == "" {
			return errors.New("This platform has no git over SSH.")
		}
		return t.setRemote(ctx, g.remote, a.SSHURL)
	})(cmd, nil)
}

func inRepository(ctx context.Context, dir string) bool {
	_, err := git(ctx, dir, "rev-parse", "--git-dir")
	return err == nil
}

// setRemote makes a remote, or changes where it leads.
func (t *target) setRemote(ctx context.Context, name, address string) error {
	_, err := git(ctx, t.Dir, "remote", "get-url", name)
	verb := "add"
	if err == nil {
		verb = "set-url"
	}
	if _, err := git(ctx, t.Dir, "remote", verb, name, address); err != nil {
		return err
	}
	if err := t.trustGit(ctx, address); err != nil {
		return err
	}
	t.say("set git remote %s to %s", name, address)
	return nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return "", fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	case err != nil:
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}
