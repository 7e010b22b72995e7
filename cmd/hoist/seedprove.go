package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

// proved is what came of one task.
type proved struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

func (c *outOfBand) proveCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "prove", Short: "Give every part of the platform a task, and say which do it", Args: cobra.NoArgs,
		Long: `Give every part of the platform a task of its kind, as new releases of it have to
do one: git takes a push over both its doors, api writes and reads, compile
builds, runtime starts a dyno, router passes requests on, logs carries lines.
Then the whole: a request, the API, and a push by the public doors.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := c.saved()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				out = io.Discard
			}
			list, err := prove(cmd.Context(), settings, out)
			if asJSON {
				err = errors.Join(err, printJSON(cmd.OutOrStdout(), list))
			}
			return err
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// prove does all proofs, one after another, and says so as it goes.
func prove(ctx context.Context, settings seed.Settings, out io.Writer) (list []proved, err error) {
	provable, err := seed.AskProvable(ctx, settings)
	if err != nil {
		return nil, err
	}
	failed := 0
	for _, p := range provable {
		begun := time.Now()
		done := proved{Name: p.Name}
		err := seed.Prove(ctx, settings, p)
		done.Seconds = time.Since(begun).Seconds()
		if err != nil {
			failed++
			done.Error = err.Error()
			fmt.Fprintf(out, "%-12s failed after %.1fs: %s\n", p.Name, done.Seconds, done.Error)
		} else {
			fmt.Fprintf(out, "%-12s works (%.1fs)\n", p.Name, done.Seconds)
		}
		list = append(list, done)
	}
	if failed > 0 {
		return list, fmt.Errorf("%d of %d parts did not do their task.", failed, len(list))
	}
	return list, nil
}
