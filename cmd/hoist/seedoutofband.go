package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/circles"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

// outOfBand is what a person does on the machine itself: it works with API, database and
// bus down, as it asks nobody but the seed.
type outOfBand struct{ *seedCommand }

func (c *outOfBand) commands() []*cobra.Command {
	return []*cobra.Command{c.psCommand(), c.logsCommand(), c.runCommand(), c.releasesCommand(), c.rollbackCommand(), c.rescueCommand(), c.circlesCommand(), c.proveCommand()}
}

func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// names completes an argument.
func names(list ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			list = nil
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *outOfBand) psCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "ps", Short: "List everything the seed runs", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		st, err := c.ask(cmd)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]any{"tasks": st.Tasks, "system": st.System})
		}
		printTasks(cmd.OutOrStdout(), st)
		return nil
	}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// printTasks lists the parts of the ground, the components, and the dynos
// of the platform's own app.
func printTasks(out io.Writer, st seed.Status) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Process\tState\tPID\tSince\tRestarts\tNote")
	for _, t := range st.Tasks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", t.Name, t.State, pid(t.PID), age(t.Since), t.Restarts, taskNote(t))
	}
	if st.System != nil {
		for _, d := range st.System.Dynos {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\tv%d\n", d.Name, d.State, pid(d.PID), age(d.Since), d.Version)
		}
	}
	w.Flush()
}

func taskNote(t seed.TaskStatus) string {
	switch {
	case t.WaitsFor != "":
		return "waits for " + t.WaitsFor
	case t.Without != "":
		return "without " + t.Without
	case t.Finishes && len(t.By) > 0:
		return "by " + strings.Join(t.By, ", ") + "; the seed finishes what it had begun"
	case len(t.By) > 0:
		return "by " + strings.Join(t.By, ", ")
	case t.Restarts > 0:
		first, _, _ := strings.Cut(t.Error, "\n")
		return first
	}
	return ""
}

func pid(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func (c *outOfBand) logsCommand() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{Use: "logs [COMPONENT]", Short: "Show the seed's log, with all that the dynos of hoist wrote",
		Long: `Show the seed's log. What the dynos of the platform's own app write is in it too,
so that it can be read while the bus is away. With a component, or "seed", only what that wrote;
with "postgres" the log of the embedded database. Works without a running seed.`,
		Example:           "$ hoist seed logs\n$ hoist seed logs api -f",
		ValidArgsFunction: names(append([]string{"seed", "postgres"}, hoist.Components...)...),
		Args:              cobra.MaximumNArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		settings, err := c.saved()
		if err != nil {
			return err
		}
		component := strings.Join(args, "")
		return seed.ShowLog(cmd.Context(), settings, cmd.OutOrStdout(), component, lines, follow)
	}
	cmd.Flags().IntVarP(&lines, "num", "n", 100, "number of lines")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines")
	cmd.Flags().BoolVarP(&follow, "tail", "t", false, "the same, as in `hoist logs`")
	return cmd
}

func (c *outOfBand) releasesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "releases", Short: "List the releases of hoist that the seed can run by itself", Args: cobra.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := c.saved()
		if err != nil {
			return err
		}
		list, err := seed.AskReleases(cmd.Context(), settings)
		switch {
		case err != nil:
			return err
		case asJSON:
			return printJSON(cmd.OutOrStdout(), list)
		case len(list) == 0:
			fmt.Fprintln(cmd.OutOrStdout(), "None yet: the seed does everything by itself. `hoist bootstrap` changes that.")
			return nil
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\tRelease\tCommit\tSlug\tProven\tNote")
		for _, r := range list {
			mark, proven := " ", "-"
			if r.Wanted {
				mark = "*"
			}
			if !r.Proven.IsZero() {
				proven = age(r.Proven) + " ago"
			}
			fmt.Fprintf(w, "%s\tv%d\t%.8s\t%.12s\t%s\t%s\n", mark, r.Version, r.Commit, r.Slug, proven, releaseNote(r))
		}
		return w.Flush()
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func releaseNote(r seed.SystemRelease) string {
	var list []string
	if len(r.Runs) > 0 {
		list = append(list, "runs as "+strings.Join(r.Runs, ", "))
	}
	if r.Current {
		list = append(list, "current in the database")
	}
	if !r.Here {
		list = append(list, "its slug is not on this machine")
	}
	if r.Failed != "" {
		list = append(list, r.Failed)
	}
	return strings.Join(list, "; ")
}

func (c *outOfBand) rollbackCommand() *cobra.Command {
	return &cobra.Command{Use: "rollback [vN]", Short: "Run an earlier release of hoist now, from its slug on this machine",
		Long: `Run an earlier release of the platform's own app now, from its slug on this machine; without a version the
one before. Neither API nor database is needed: when the database is back, the seed makes the release that a
rollback is in it. If somebody made another release meanwhile, that counts.`,
		Example: "$ hoist seed rollback\n$ hoist seed rollback v12", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := c.saved()
			if err != nil {
				return err
			}
			version := 0
			if len(args) > 0 {
				if version, err = strconv.Atoi(strings.TrimPrefix(args[0], "v")); err != nil || version < 1 {
					return fmt.Errorf("%q is not a release such as v12. `hoist seed releases` lists them.", args[0])
				}
			}
			to, err := seed.Rollback(cmd.Context(), settings, version)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Going back to v%d; `hoist seed ps` shows how far it is.\n", to)
			return nil
		}}
}

func (c *outOfBand) rescueCommand() *cobra.Command {
	var back bool
	cmd := &cobra.Command{Use: "rescue COMPONENT", Short: "Have the seed do a component's work itself, until --back",
		Long: `Have the seed do a component's work itself, whatever its dynos are: they end when the seed does it. It holds
over a restart of the seed, until --back.`,
		Example:           "$ hoist seed rescue compile\n$ hoist seed rescue compile --back",
		ValidArgsFunction: names(hoist.Components...), Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		settings, err := c.saved()
		if err != nil {
			return err
		}
		if err := seed.Rescue(cmd.Context(), settings, args[0], back); err != nil {
			return err
		}
		if back {
			fmt.Fprintf(cmd.OutOrStdout(), "Dynos take over %s again; `hoist seed ps` shows how far it is.\n", args[0])
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "The seed does the work of %s until `hoist seed rescue %s --back`.\n", args[0], args[0])
		}
		return nil
	}
	cmd.Flags().BoolVar(&back, "back", false, "give the work back to the dynos")
	return cmd
}

func (c *outOfBand) circlesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "circles", Short: "Print the circles of what the running parts need, and where each is cut", Args: cobra.NoArgs,
		Long: `Print the circles of what the running parts of the platform need of each other, and where each is cut: where a
part starts and serves without the other. Every process says by itself what it was given, so the
list is of what runs now. Exits with 1 if a circle is not cut.`}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings, err := c.saved()
		if err != nil {
			return err
		}
		found, err := seed.AskCircles(cmd.Context(), settings)
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), found)
		} else {
			printCircles(cmd.OutOrStdout(), found)
		}
		if n := uncut(found.Circles); err == nil && n > 0 {
			return fmt.Errorf("%d circles are not cut: what lies on one can not start while the rest is down.", n)
		}
		return err
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with all edges")
	return cmd
}

func printCircles(out io.Writer, found seed.Circles) {
	for _, c := range found.Circles {
		words := []string{c[0].From}
		for i, e := range c {
			mark := "→"
			if i == 0 && c.Cut() {
				mark = "✂"
			}
			words = append(words, mark, e.To)
		}
		fmt.Fprintln(out, strings.Join(words, " "))
		if c.Cut() {
			fmt.Fprintf(out, "    cut: %s without %s (%s): %s\n", c[0].From, c[0].To, c[0].For, c[0].Cut)
		} else {
			fmt.Fprintln(out, "    NOT CUT")
		}
	}
	fmt.Fprintf(out, "%d needs of each other, %d circles, %d not cut.\n", len(found.Edges), len(found.Circles), uncut(found.Circles))
	if len(found.Silent) > 0 {
		fmt.Fprintf(out, "No process reports what it needs of: %s.\n", strings.Join(found.Silent, ", "))
	}
}

func uncut(list []circles.Circle) (n int) {
	for _, c := range list {
		if !c.Cut() {
			n++
		}
	}
	return n
}
