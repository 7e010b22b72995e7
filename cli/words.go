package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// joinWords makes "ps scale" into "ps:scale" where there is such a command.
// What `run` is given stays as it is: it is a command of the app.
func joinWords(root *cobra.Command, args []string) []string {
	start := 0
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd || args[0] == "help") {
		start = 1
	}
	end := len(args)
	if start == 1 && args[0] != "help" {
		end-- // the word being completed
	}
	if start+1 >= end || args[start] == "run" {
		return args
	}
	name := args[start] + ":" + args[start+1]
	if findCommand(root, name) == nil {
		return args
	}
	joined := append([]string{}, args[:start]...)
	joined = append(joined, name)
	return append(joined, args[start+2:]...)
}

func findCommand(root *cobra.Command, name string) *cobra.Command {
	for _, cmd := range root.Commands() {
		if cmd.Name() == name || cmd.HasAlias(name) {
			return cmd
		}
	}
	return nil
}

// topic is the part of a command's name before the colon.
func topic(cmd *cobra.Command) string {
	t, _, _ := strings.Cut(cmd.Name(), ":")
	return t
}
