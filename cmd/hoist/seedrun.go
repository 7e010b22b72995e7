package main

import (
	"os"
	"strconv"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/cli"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (c *outOfBand) runCommand() *cobra.Command {
	var as string
	var noTTY bool
	cmd := &cobra.Command{Use: "run [FLAGS] [--] [COMMAND…]", Short: "Run a command in a one-off dyno of hoist, by the seed alone",
		Long: `Run a command, by default a shell, in a container like a one-off dyno of the platform's own app: the slug
that runs now, on the host's network, attached to this terminal. Its exit code is that of the command.
API, database and bus are not needed.`,
		Example:           "$ hoist seed run\n$ hoist seed run --as api -- bin/hoist admin account ann@example.com --token new",
		ValidArgsFunction: cobra.NoFileCompletions, Args: cobra.ArbitraryArgs}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		settings, err := c.saved()
		if err != nil {
			return err
		}
		req := seed.RunRequest{Command: cli.RemoteCommand(args), As: as, Env: map[string]string{}}
		if len(args) == 0 {
			req.Command = "bash"
		}
		in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
		if req.TTY = !noTTY && term.IsTerminal(in) && term.IsTerminal(out); req.TTY {
			req.Env["TERM"] = os.Getenv("TERM")
			if width, height, err := term.GetSize(out); err == nil {
				req.Env["COLUMNS"], req.Env["LINES"] = strconv.Itoa(width), strconv.Itoa(height)
			}
			before, err := term.MakeRaw(in)
			if err != nil {
				return err
			}
			defer term.Restore(in, before)
		}
		code, err := seed.RunCommand(cmd.Context(), settings, req, cmd.InOrStdin(), cmd.OutOrStdout())
		if err != nil {
			return err
		}
		return cli.ExitCode(code)
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&as, "as", "", "the `COMPONENT` whose environment it has, with all its rights")
	cmd.Flags().BoolVar(&noTTY, "no-tty", false, "no terminal for the command")
	cmd.RegisterFlagCompletionFunc("as", cobra.FixedCompletions(hoist.Components, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
