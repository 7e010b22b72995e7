package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

func init() { commands = append(commands, (&bootstrapCommand{}).command()) }

// bootstrapCommand moves the platform onto itself, in the stages of
// docs/bootstrap.md. What is done stays done; run again, it goes on.
type bootstrapCommand struct {
	upCommand
	source   string
	settings seed.Settings
	commit   string
	stages   []seed.Stage
}

func (c *bootstrapCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Have the platform compile and run itself, in stages", GroupID: "platform",
		Long: `Have the platform compile and run itself. Stage 0 is what runs inside the seed.
Stage 1 is compiled by stage 0 and takes over from it; stage 2 is compiled by
stage 1, stage 3 by stage 2, both without a build cache; they must be equal bit for bit.
At the end it proves itself. It needs no network if the module cache of this
machine (go env GOMODCACHE) has the modules. It may be stopped at any point and run again; what
runs then is a whole platform at any stage. Run again with another commit in DIR, that is
pushed, and the platform upgrades itself.`,
		Example: "$ hoist bootstrap --source .", Args: cobra.NoArgs, RunE: c.run,
	}
	c.add(cmd, false)
	cmd.Flags().StringVar(&c.source, "source", ".", "git repository `DIR` of the platform's source")
	return cmd
}

func (c *bootstrapCommand) run(cmd *cobra.Command, _ []string) (err error) {
	c.ctx, c.out, c.app = cmd.Context(), cmd.OutOrStdout(), hoist.SystemApp
	if os.Geteuid() != 0 {
		return errors.New("This needs root: the system app gets the platform's privileges. Use sudo.")
	}
	if c.settings, err = c.saved(); err != nil {
		return err
	}
	c.dataDir, c.public = c.settings.DataDir, c.settings.Public()
	if c.self, err = os.Executable(); err != nil {
		return err
	}
	if c.person, err = somebody(os.Getenv); err != nil {
		return err
	}
	if c.stages, err = seed.Stages(c.settings); err != nil {
		return err
	}
	whole := time.Now()
	if err := c.do(
		bootstrapStep{"Stage 0: the platform inside the seed", c.start},
		bootstrapStep{"Logging in", c.account},
		bootstrapStep{"Adding an SSH key", c.key},
		bootstrapStep{"Making the app " + hoist.SystemApp, c.system}); err != nil {
		return err
	}
	if err := c.do(c.missing()...); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\nThe platform runs on itself, after %s. Change it and push it again:\n  cd %s && git push hoist HEAD:main\n",
		time.Since(whole).Round(time.Second), c.work())
	return nil
}

// missing are the steps from the stages that were reached on.
func (c *bootstrapCommand) missing() (steps []bootstrapStep) {
	if len(c.stages) == 0 {
		steps = append(steps, bootstrapStep{"Giving its first build the Go modules that this machine has", c.modules})
	}
	if len(c.stages) < 3 {
		steps = append(steps,
			bootstrapStep{"Stage 1: compiled by stage 0", func() (string, error) { return c.stage(1) }},
			bootstrapStep{"Taking over from the seed", c.takeOver},
			bootstrapStep{"Stage 2: compiled by stage 1, without a build cache", func() (string, error) { return c.stage(2) }},
			bootstrapStep{"Stage 3: compiled by stage 2, without a build cache", func() (string, error) { return c.stage(3) }})
	}
	if !c.compared() {
		steps = append(steps, bootstrapStep{"Comparing", c.compare})
	}
	if len(c.stages) == 3 {
		steps = append(steps, bootstrapStep{"Upgrading", c.upgrade})
	}
	return append(steps, bootstrapStep{"Proving that all parts work", c.smoke})
}

type bootstrapStep struct {
	what string
	do   func() (said string, err error)
}

func (c *bootstrapCommand) do(steps ...bootstrapStep) error {
	for _, s := range steps {
		begun := time.Now()
		fmt.Fprintf(c.out, "-----> %s\n", s.what)
		said, err := s.do()
		if err != nil {
			return fmt.Errorf("%s: %w\nWhat is done stays done; when that is mended, run it again.", s.what, err)
		}
		fmt.Fprintf(c.out, "       %s (%.1fs)\n", strings.ReplaceAll(said, "\n", "\n       "), time.Since(begun).Seconds())
	}
	return nil
}

// system makes the app and the working copy that a person may change and push.
func (c *bootstrapCommand) system() (string, error) {
	email, err := c.hoist("whoami")
	if err != nil {
		return "", err
	}
	if _, err := c.asRoot(append(c.seedArgs("system"), email)...); err != nil {
		return "", err
	}
	if err := c.checkOut(); err != nil {
		return "", err
	}
	if _, err := c.create(); err != nil { // the remote
		return "", err
	}
	if c.commit, err = c.exec("git", "-C", c.work(), "rev-parse", "HEAD"); err != nil {
		return "", err
	}
	if len(c.stages) > 0 && (len(c.stages) < 3 || c.differ()) && c.stages[0].Commit != c.commit {
		c.stages = nil // of another source
	}
	// From here on everything is compiled anew, until the stages are compared.
	if flags, _ := c.hoist("config:get", "GOFLAGS", "-a", c.app); flags != withoutCache && len(c.stages) < 3 {
		if _, err := c.hoist("config:set", "GOFLAGS="+withoutCache, "-a", c.app); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("commit %.12s, working copy in %s", c.commit, c.work()), nil
}

// upgrade pushes what has changed since the platform runs on itself.
func (c *bootstrapCommand) upgrade() (string, error) {
	commit := "commit " + c.commit[:12]
	if runs, err := c.runs(); runs || err != nil {
		return commit + " runs already", err
	}
	if err := c.show(c.work(), "git", "push", "hoist", "HEAD:main"); err != nil {
		return "", err
	}
	if runs, err := c.runs(); err != nil {
		return "", err
	} else if runs {
		return commit + " runs", c.settle("", true)
	}
	// It was pushed before, but failed or was rolled back: git has nothing to push.
	build, err := c.rebuild()
	if err != nil {
		return "", err
	}
	return commit + " runs", c.settle(build.Release.ID, true)
}

// runs reports whether what shall run was built from our commit.
func (c *bootstrapCommand) runs() (bool, error) {
	builds, err := c.builds()
	if err != nil {
		return false, err
	}
	current, err := c.currentRelease()
	return slices.ContainsFunc(builds, func(b builtStage) bool {
		return b.Source.Version == c.commit && b.Slug.ID != "" && b.Slug.ID == current.Slug.ID
	}), err
}

// smoke has every part of the platform do a task. All of them are dynos now; what ended without a word,
// in a power cut say, is believed in for a while.
func (c *bootstrapCommand) smoke() (string, error) {
	for end := time.Now().Add(postgres.Expiry + 5*time.Second); time.Now().Before(end) && c.ctx.Err() == nil; c.pause() {
		if parts, err := seed.AskProvable(c.ctx, c.settings); err != nil || !slices.ContainsFunc(parts, noDyno) {
			break
		}
	}
	list, err := prove(c.ctx, c.settings, indented{c.out})
	return fmt.Sprintf("all %d do their task", len(list)), err
}

// noDyno reports whether a part is a process that is no dyno: those have names like api.1.
func noDyno(p seed.Provable) bool { return p.Name != seed.Whole && !strings.Contains(p.Name, ".") }

// indented writes lines as the output of a step.
type indented struct{ io.Writer }

func (w indented) Write(b []byte) (int, error) {
	_, err := fmt.Fprintf(w.Writer, "       %s", b)
	return len(b), err
}
