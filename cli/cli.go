// Package cli is the commands people type. It is a client of the Platform API
// like any other: of the platform's inside it knows only how a line of a log is written (package logs).
package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// CLI is what the commands share: where they read and write.
type CLI struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	Env func(string) string
	Now func() time.Time
	Dir string // where git looks for remotes; empty for the working directory
}

// New returns a CLI on the process's own streams and environment.
func New() *CLI {
	return &CLI{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now}
}

// Groups are the headings of the help page.
var groups = []*cobra.Group{
	{ID: "app", Title: "Apps"},
	{ID: "deploy", Title: "Deploying"},
	{ID: "run", Title: "Running and looking"},
	{ID: "account", Title: "You"},
	{ID: "platform", Title: "The platform itself"},
}

// Commands returns all commands. Their names have Heroku's form, "ps:scale";
// Execute also takes them as two words.
func (c *CLI) Commands() []*cobra.Command {
	list := []*cobra.Command{}
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			withoutFiles(cmd)
			list = append(list, cmd)
		}
	}
	add("app", c.apps(), c.create(), c.info(), c.open(), c.rename(), c.destroy(),
		c.config(), c.configGet(), c.configSet(), c.configUnset(),
		c.access(), c.accessAdd(), c.accessRemove(),
		c.domains(), c.domainsAdd(), c.domainsRemove(),
		c.maintenance(), c.maintenanceOn(), c.maintenanceOff())
	add("deploy", c.gitRemote(), c.gitCredentials(), c.releases(), c.releasesInfo(), c.rollback(),
		c.buildpacks(), c.buildpacksSet(), c.buildpacksAdd(), c.buildpacksRemove(), c.buildpacksClear(),
		c.builds(), c.buildsInfo(), c.buildsOutput())
	add("run", c.ps(), c.psScale(), c.psType(), c.psRestart(), c.psStop(), c.run(), c.runDetached(), c.logs())
	add("account", c.login(), c.logout(), c.whoami(), c.keys(), c.keysAdd(), c.keysRemove())
	return list
}

// Execute runs the command that args name and returns the exit code: 0, 1 for
// an error, 2 for wrong usage, or that of a remote command.
func (c *CLI) Execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	for _, g := range groups {
		if !root.ContainsGroup(g.ID) {
			root.AddGroup(g)
		}
	}
	configureHelp(root)
	explainArgs(root)
	configureCompletion(root)
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	if root.RunE == nil && root.Run == nil {
		root.Args = cobra.ArbitraryArgs
		root.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(root, args[0])
			}
			return cmd.Help()
		}
	}
	root.SetArgs(joinWords(root, args))
	return c.fail(root.ExecuteContext(ctx))
}
