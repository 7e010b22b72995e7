package main

import (
	"slices"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/cli"
)

// people is the command line for people.
var people = cli.New()

func init() { commands = append(commands, people.Commands()...) }

// servesLogs decides what `hoist logs` means, which is the name of a component
// and of a command for people: it is the component where there is the ground
// for one and nothing follows it. The seed and a dyno start it so.
func servesLogs(args []string, env func(string) string) bool {
	return slices.Equal(args, []string{hoist.ComponentLogs}) && env("DATABASE_URL") != "" && env("NATS_URL") != ""
}
