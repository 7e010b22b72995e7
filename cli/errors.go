package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command line that cannot be meant so; exit code 2.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitCode ends the program with a code and without a message: the remote
// command's own.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// ExitCode is an error that ends the program with a code and without a message;
// nil for 0.
func ExitCode(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}

// interrupted is the exit code after ^C, as shells have it: 128 + SIGINT.
const interrupted exitCode = 130

// fail tells a person what went wrong and returns the exit code.
func (c *CLI) fail(err error) int {
	var code exitCode
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		if isTerminal(c.Err) {
			fmt.Fprintln(c.Err) // what was being done ends its line
		}
		return int(interrupted)
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(c.Err, c.paint(c.Err, red, " !")+"    "+strings.TrimRight(line, "\n"))
	}
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// flagError adds the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	message := err.Error()
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "int" {
		message = fmt.Sprintf("--%s is a number, not %q.", invalid.GetFlag().Name, invalid.GetValue())
	}
	if _, name, ok := strings.Cut(message, "unknown flag: --"); ok {
		if near := nearest(name, flagNames(cmd)); near != "" {
			message += "\nDid you mean --" + near + "?"
		}
	}
	return usagef("%s\nSee `hoist help %s`.", message, strings.TrimPrefix(cmd.CommandPath(), "hoist "))
}

func unknownCommand(root *cobra.Command, name string) error {
	var everyday, others []string
	for _, cmd := range root.Commands() {
		if names := append([]string{cmd.Name()}, cmd.Aliases...); cmd.GroupID != "platform" {
			everyday = append(everyday, names...)
		} else if !cmd.Hidden {
			others = append(others, names...)
		}
	}
	message := fmt.Sprintf("%s is not a hoist command.", name)
	if near := nearest(name, everyday, others); near != "" {
		message += "\nDid you mean `hoist " + near + "`?"
	}
	return usagef("%s\nSee `hoist help` for all commands.", message)
}

func unknownSubcommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	message := fmt.Sprintf("%s %s is not a hoist command.", strings.TrimPrefix(cmd.CommandPath(), "hoist "), name)
	if near := nearest(name, names); near != "" {
		message += "\nDid you mean `" + cmd.CommandPath() + " " + near + "`?"
	}
	return usagef("%s", message)
}

// explainArgs does so for all commands of the platform, which are made elsewhere.
func explainArgs(parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		if cmd.Args != nil && (cmd.GroupID == "platform" || parent.HasParent()) {
			cmd.Args = args(cmd.Args)
		}
		explainArgs(cmd)
	}
}

// args makes wrong numbers of arguments a usage error that shows how.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		if len(args) > 0 && cmd.HasSubCommands() {
			return unknownSubcommand(cmd, args[0])
		}
		if len(args) > 0 {
			if near := nearestOfTopic(cmd, args[0]); near != "" {
				return usagef("%s %s is not a hoist command.\nDid you mean `hoist %s`?", cmd.Name(), args[0], near)
			}
		}
		message := "Usage: " + usageLine(cmd)
		if cmd.Example != "" {
			first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
			message += "\nExample: " + strings.TrimPrefix(first, "$ ")
		}
		return usageError{message}
	}
}
