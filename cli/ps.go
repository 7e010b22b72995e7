package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

type psCommand struct {
	target
	json, table bool
}

func (c *CLI) ps() *cobra.Command {
	p := &psCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "ps [TYPE...]", Short: "List the dynos of an app", Aliases: []string{"ps:list"},
		Example: "$ hoist ps\n$ hoist ps web\n$ hoist ps --table",
		Args:    args(cobra.ArbitraryArgs),
		ValidArgsFunction: func(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
			types, _ := p.completeTypes(cmd, given, word)
			return append(types, topicWords(cmd)...), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.RunE = p.on(func(ctx context.Context, types []string) error { return p.show(ctx, cmd, types) })
	p.flags(cmd)
	jsonFlag(cmd, &p.json)
	cmd.Flags().BoolVar(&p.table, "table", false, "one line for each dyno: process, state, command")
	return cmd
}

func (p *psCommand) show(ctx context.Context, cmd *cobra.Command, types []string) error {
	all, err := list[dyno](ctx, p.api, p.path("dynos"), "", 0)
	if err != nil {
		return err
	}
	dynos := all[:0]
	for _, d := range all {
		if len(types) == 0 || slices.Contains(types, d.V.Type) {
			dynos = append(dynos, d)
		}
	}
	if p.json {
		return p.printJSON(dynos)
	}
	if len(dynos) == 0 && len(types) > 0 {
		return p.noSuchType(cmd, types[0], typesOf(all))
	}
	if len(dynos) == 0 {
		formation, err := list[processType](ctx, p.api, p.path("formation"), "", 0)
		switch {
		case err != nil:
			return err
		case len(formation) == 0:
			p.say("%s has no dynos yet. Deploy it: git push hoist main", p.app)
		default:
			one := formation[0].V.Type
			if slices.ContainsFunc(formation, func(f item[processType]) bool { return f.V.Type == "web" }) {
				one = "web"
			}
			p.say("%s has no dynos. `hoist ps:scale %s=1` starts one.", p.app, one)
		}
		return nil
	}
	plain := make([]dyno, len(dynos))
	for i, d := range dynos {
		plain[i] = d.V
	}
	sortDynos(plain)
	if p.table {
		p.printTable(p.Out, plain)
	} else {
		p.printGroups(plain)
	}
	return nil
}

func (p *psCommand) noSuchType(cmd *cobra.Command, name string, there []string) error {
	message := fmt.Sprintf("%s runs no dynos of type %s.", p.app, name)
	if near := nearest(name, there); near != "" {
		message += "\nDid you mean " + near + "?"
	} else if near := nearestOfTopic(cmd, name); near != "" {
		message += "\nDid you mean `hoist " + near + "`?"
	}
	return fmt.Errorf("%s", message)
}

func typesOf(dynos []item[dyno]) []string {
	var types []string
	for _, d := range dynos {
		if !slices.Contains(types, d.V.Type) {
			types = append(types, d.V.Type)
		}
	}
	return types
}

// sortDynos orders by type, web first and one-offs last, and by number.
func sortDynos(dynos []dyno) {
	rank := func(d dyno) int {
		switch d.Type {
		case "web":
			return 0
		case "run", "build":
			return 2
		}
		return 1
	}
	slices.SortStableFunc(dynos, func(a, b dyno) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Type, b.Type),
			cmp.Compare(dynoNumber(a.Name), dynoNumber(b.Name)))
	})
}

func dynoNumber(name string) int {
	_, number, _ := strings.Cut(name, ".")
	n, _ := strconv.Atoi(number)
	return n
}

// printGroups prints Heroku's form: a heading for each type and size.
func (p *psCommand) printGroups(dynos []dyno) {
	oneOff := func(d dyno) bool { return d.Type == "run" || d.Type == "build" }
	group := func(d dyno) string {
		if oneOff(d) {
			return d.Type + ": one-off processes"
		}
		return fmt.Sprintf("%s (%s): %s", d.Type, d.Size, d.Command)
	}
	for begin := 0; begin < len(dynos); {
		end := begin + 1
		for end < len(dynos) && group(dynos[end]) == group(dynos[begin]) {
			end++
		}
		p.head("%s (%d)", group(dynos[begin]), places(dynos[begin:end]))
		for _, d := range dynos[begin:end] {
			line := fmt.Sprintf("%s: %s %s", d.Name, p.paint(p.Out, stateColour(d.State), d.State), p.ago(d.UpdatedAt))
			if oneOff(d) {
				line = fmt.Sprintf("%s (%s): %s %s: %s", d.Name, d.Size, p.paint(p.Out, stateColour(d.State), d.State), p.ago(d.UpdatedAt), d.Command)
			}
			if d.Reason != "" {
				line += ": " + d.Reason
			}
			p.print("%s", line)
		}
		p.print("")
		begin = end
	}
}

// places is for how many dynos these stand: while one is replaced, two have its
// name, and what ends without being replaced stands for none.
func places(dynos []dyno) int {
	names := map[string]bool{}
	for _, d := range dynos {
		if d.State != "stopping" {
			names[d.Name] = true
		}
	}
	return len(names)
}

func stateColour(state string) string {
	switch state {
	case "up":
		return "32" // green
	case "crashed":
		return red
	}
	return "33" // yellow
}

// printTable prints the form of 2011: process, state, command.
func (p *psCommand) printTable(w io.Writer, dynos []dyno) {
	const row = "%-12s  %-18s  %s\n"
	fmt.Fprintf(w, row, "Process", "State", "Command")
	fmt.Fprintf(w, row, strings.Repeat("-", 12), strings.Repeat("-", 18), strings.Repeat("-", 30))
	for _, d := range dynos {
		fmt.Fprintf(w, row, d.Name, d.State+" for "+roughly(p.Now().Sub(d.UpdatedAt)), d.Command)
	}
}

type psRestartCommand struct{ target }

func (c *CLI) psRestart() *cobra.Command {
	r := &psRestartCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "ps:restart [DYNO|TYPE]", Short: "Restart all dynos, those of a type, or one",
		Aliases: []string{"restart", "dyno:restart"},
		Example: "$ hoist ps:restart\n$ hoist ps:restart web\n$ hoist ps:restart web.1", Args: args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: r.completeDynos,
	}
	cmd.RunE = r.on(r.restart)
	r.flags(cmd)
	return cmd
}

func (r *psRestartCommand) restart(ctx context.Context, args []string) error {
	what, path := "Restarting "+r.app, r.path("dynos")
	if len(args) == 1 {
		what = "Restarting " + args[0] + " of " + r.app
		if path = r.path("formations", args[0]); strings.Contains(args[0], ".") {
			path = r.path("dynos", args[0])
		}
	}
	err := r.doing(what, func() (string, error) { return "", r.api.delete(ctx, path, nil) })
	return r.explainDyno(ctx, err, args)
}

type psStopCommand struct{ target }

func (c *CLI) psStop() *cobra.Command {
	s := &psStopCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "ps:stop DYNO|TYPE", Short: "Stop dynos; those of the formation start again",
		Aliases: []string{"ps:kill", "stop", "kill", "dyno:stop", "dyno:kill"},
		Example: "$ hoist ps:stop run.13", Args: args(cobra.ExactArgs(1)),
		ValidArgsFunction: s.completeDynos,
	}
	cmd.RunE = s.on(s.stop)
	s.flags(cmd)
	return cmd
}

func (s *psStopCommand) stop(ctx context.Context, args []string) error {
	path := s.path("formations", args[0], "actions", "stop")
	if strings.Contains(args[0], ".") {
		path = s.path("dynos", args[0], "actions", "stop")
	}
	err := s.doing("Stopping "+args[0]+" of "+s.app, func() (string, error) {
		return "", s.api.post(ctx, path, struct{}{}, nil)
	})
	return s.explainDyno(ctx, err, args)
}
