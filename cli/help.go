package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configureHelp replaces cobra's help pages: one page for the program, with
// each topic in one line, and one for each command, with its topic's others.
func configureHelp(root *cobra.Command) {
	cobra.EnableCommandSorting = false // related commands stand together
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if cmd == root {
			rootHelp(cmd)
		} else {
			commandHelp(cmd)
		}
	})
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Show a command",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, cmd := range root.Commands() {
				if cmd.IsAvailableCommand() {
					names = append(names, cmd.Name()+"\t"+cmd.Short)
				}
			}
			return names, noFiles
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return root.Help()
			}
			cmd, rest, err := root.Find(args)
			if err != nil || cmd == root || len(rest) > 0 {
				return unknownCommand(root, strings.Join(args, " "))
			}
			return cmd.Help()
		},
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error { commandHelp(cmd); return nil })
}

func rootHelp(root *cobra.Command) {
	out := root.OutOrStdout()
	fmt.Fprintf(out, "%s.\n\nUsage: hoist COMMAND [--app APP] [...]\n", root.Short)
	for _, group := range root.Groups() {
		var rows [][]string
		for _, cmd := range root.Commands() {
			if cmd.GroupID == group.ID && !cmd.Hidden && !behindTopic(cmd) {
				rows = append(rows, []string{"  " + cmd.Name(), cmd.Short})
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(out, "\n%s\n", strings.TrimSuffix(group.Title, ":"))
			writeColumns(out, rows)
		}
	}
	fmt.Fprint(out, `
`+"`hoist help ps`"+` shows ps and all ps:… commands; `+"`ps scale`"+` is as good as `+"`ps:scale`"+`.
The app is --app, or $HOIST_APP, or that of the git remote "hoist".
`+"`hoist completion --help`"+` tells how your shell learns all this.
`)
}

// behindTopic reports whether the help page shows the command with its topic
// only: "ps:scale" is behind "ps".
func behindTopic(cmd *cobra.Command) bool {
	if !strings.Contains(cmd.Name(), ":") {
		return false
	}
	base := findCommand(cmd.Parent(), topic(cmd))
	return base != nil && base.GroupID == cmd.GroupID
}

func commandHelp(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	cmd.InitDefaultHelpFlag()
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(out, "%s\n\nUsage: %s\n", text, usageLine(cmd))
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	flags.AddFlagSet(cmd.LocalFlags())
	flags.AddFlagSet(cmd.InheritedFlags()) // `hoist seed status --data DIR`
	if usages := flags.FlagUsages(); usages != "" {
		fmt.Fprintf(out, "\n%s", usages)
	}
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples\n%s\n", indent(cmd.Example, "  "))
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(out, "\nAlso: %s\n", strings.Join(cmd.Aliases, ", "))
	}
	var rows [][]string
	for _, other := range cmd.Parent().Commands() {
		if other != cmd && !other.Hidden && other.GroupID == cmd.GroupID && topic(other) == topic(cmd) {
			rows = append(rows, []string{"  " + other.Name(), other.Short})
		}
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			rows = append(rows, []string{"  " + cmd.Name() + " " + sub.Name(), sub.Short})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(out, "\nSee also")
		writeColumns(out, rows)
	}
}

// usageLine is how a command is written: "hoist seed logs [-n N]".
func usageLine(cmd *cobra.Command) string { return cmd.Parent().CommandPath() + " " + cmd.Use }

func indent(text, by string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return by + strings.Join(lines, "\n"+by)
}
