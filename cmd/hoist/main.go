// Command hoist is the whole platform in one binary: the commands people type,
// the seed, and each component.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/git"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) }) // a second ^C ends what the first one does not
	root := &cobra.Command{
		Use:   "hoist",
		Short: "Run apps on your own machines; git push and it runs",
	}
	args := os.Args[1:]
	if len(args) == 1 && args[0] == "--version" {
		args[0] = "version"
	}
	// Inside dynos the binary stands under the names of its subcommands.
	switch name := filepath.Base(os.Args[0]); name {
	case "hoist-compile", "hoist-static":
		args = append([]string{name[len("hoist-"):] + "-here"}, args...)
	case git.HookName: // git executes its hooks by their names
		args = []string{name}
	}
	root.AddCommand(commands...)
	for _, c := range components {
		if c.name == hoist.ComponentLogs {
			if !servesLogs(args, os.Getenv) {
				continue
			}
			root.RemoveCommand(find(root, c.name))
		}
		root.AddCommand(c.command())
	}
	os.Exit(people.Execute(ctx, root, args))
}

func find(root *cobra.Command, name string) *cobra.Command {
	cmd, _, _ := root.Find([]string{name})
	return cmd
}
