// Command hoist is the whole platform in one binary: the commands people type,
// the seed, and each component.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hoist-sh/hoist/git"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "hoist",
		Short:         "Run apps on your own machines; git push and it runs",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(
		&cobra.Group{ID: "app", Title: "Apps:"},
		&cobra.Group{ID: "platform", Title: "The platform itself:"},
	)
	for _, c := range components {
		root.AddCommand(c.command())
	}
	root.AddCommand(commands...)
	// Inside dynos the binary stands under the names of its subcommands.
	switch name := filepath.Base(os.Args[0]); name {
	case "hoist-compile", "hoist-static":
		root.SetArgs(append([]string{name[len("hoist-"):] + "-here"}, os.Args[1:]...))
	case git.HookName: // git executes its hooks by their names
		root.SetArgs([]string{name})
	}
	if err := root.ExecuteContext(ctx); err != nil {
		os.Exit(fail(err))
	}
}
