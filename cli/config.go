package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

type configCommand struct {
	target
	json, shell bool
}

func (c *CLI) config() *cobra.Command {
	o := &configCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "config", Short: "Show config vars",
		Example: "$ hoist config\n$ hoist config --shell > .env", Args: args(cobra.NoArgs),
	}
	cmd.RunE = o.on(o.show)
	o.flags(cmd)
	jsonFlag(cmd, &o.json)
	cmd.Flags().BoolVarP(&o.shell, "shell", "s", false, "print NAME=value lines that a shell reads")
	return cmd
}

func (o *configCommand) show(ctx context.Context, _ []string) error {
	var vars map[string]string
	if err := o.api.get(ctx, o.path("config-vars"), &vars); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(vars))
	switch {
	case o.json:
		return o.printJSON(vars)
	case o.shell:
		for _, name := range names {
			o.print("%s=%s", name, hoist.ShellQuote(vars[name]))
		}
		return nil
	case len(names) == 0:
		o.say("%s has no config vars. `hoist config:set NAME=value` sets one.", o.app)
		return nil
	}
	rows := [][]string{}
	for _, name := range names {
		rows = append(rows, []string{name + ":", vars[name]})
	}
	o.head("%s Config Vars", o.app)
	o.columns(rows)
	return nil
}

type configGetCommand struct {
	target
	json bool
}

func (c *CLI) configGet() *cobra.Command {
	g := &configGetCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "config:get NAME...", Short: "Print the values of config vars",
		Example: "$ hoist config:get DATABASE_URL", Args: args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: g.completeConfig,
	}
	cmd.RunE = g.on(g.get)
	g.flags(cmd)
	jsonFlag(cmd, &g.json)
	return cmd
}

func (g *configGetCommand) get(ctx context.Context, names []string) error {
	var vars map[string]string
	if err := g.api.get(ctx, g.path("config-vars"), &vars); err != nil {
		return err
	}
	found := map[string]string{}
	for _, name := range names {
		value, ok := vars[name]
		if !ok {
			return missing(name, g.app, slices.Collect(maps.Keys(vars)))
		}
		found[name] = value
		if !g.json {
			g.print("%s", value)
		}
	}
	if g.json {
		return g.printJSON(found)
	}
	return nil
}

// missing is the error for a config var that is not set.
func missing(name, app string, names []string) error {
	message := fmt.Sprintf("%s is not set on %s.", name, app)
	if near := nearest(name, names); near != "" {
		message += "\nDid you mean " + near + "?"
	}
	return fmt.Errorf("%s", message)
}

type configSetCommand struct{ target }

func (c *CLI) configSet() *cobra.Command {
	s := &configSetCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "config:set NAME=value...", Short: "Set config vars and restart", Aliases: []string{"config:add"},
		Example: "$ hoist config:set RAILS_ENV=production GREETING='hello world'", Args: args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: s.completeConfigSet,
	}
	cmd.RunE = s.on(s.set)
	s.flags(cmd)
	return cmd
}

func (s *configSetCommand) set(ctx context.Context, args []string) error {
	vars, err := parseConfig(args)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(vars))
	err = s.doing("Setting "+strings.Join(names, ", ")+" and restarting "+s.app, func() (string, error) {
		if err := s.api.patch(ctx, s.path("config-vars"), vars, nil); err != nil {
			return "", err
		}
		return s.currentVersion(ctx), nil
	})
	if err != nil {
		return err
	}
	rows := [][]string{}
	for _, name := range names {
		rows = append(rows, []string{name + ":", vars[name]})
	}
	s.columns(rows)
	return nil
}

// parseConfig reads NAME=value arguments; a value may hold anything, equals
// signs and newlines too.
func parseConfig(args []string) (map[string]string, error) {
	vars := map[string]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case !ok:
			return nil, usagef("%q has no value. Config vars are set as NAME=value; `hoist config:unset %s` removes one.", arg, arg)
		case !hoist.ConfigVarName.MatchString(name):
			return nil, usagef("%q is not a name for a config var: letters, digits and _, not beginning with a digit.", name)
		}
		if _, twice := vars[name]; twice {
			return nil, usagef("%s is given twice.", name)
		}
		vars[name] = value
	}
	return vars, nil
}

type configUnsetCommand struct{ target }

func (c *CLI) configUnset() *cobra.Command {
	u := &configUnsetCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "config:unset NAME...", Short: "Remove config vars and restart", Aliases: []string{"config:remove"},
		Example: "$ hoist config:unset RAILS_ENV", Args: args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: u.completeConfig,
	}
	cmd.RunE = u.on(u.unset)
	u.flags(cmd)
	return cmd
}

func (u *configUnsetCommand) unset(ctx context.Context, names []string) error {
	var vars map[string]string
	if err := u.api.get(ctx, u.path("config-vars"), &vars); err != nil {
		return err
	}
	changes := map[string]*string{}
	for _, name := range names {
		if _, ok := vars[name]; !ok {
			return missing(name, u.app, slices.Collect(maps.Keys(vars)))
		}
		changes[name] = nil
	}
	return u.doing("Unsetting "+strings.Join(names, ", ")+" and restarting "+u.app, func() (string, error) {
		if err := u.api.patch(ctx, u.path("config-vars"), changes, nil); err != nil {
			return "", err
		}
		return u.currentVersion(ctx), nil
	})
}

// currentVersion is the newest release, "v12", or "" when that cannot be said.
func (t *target) currentVersion(ctx context.Context) string {
	newest, err := list[release](ctx, t.api, t.path("releases"), "version ..; order=desc", 1)
	if err != nil || len(newest) == 0 {
		return ""
	}
	return fmt.Sprintf("v%d", newest[0].V.Version)
}
