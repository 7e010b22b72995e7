package cli

import (
	"context"

	"github.com/spf13/cobra"
)

type accessCommand struct {
	target
	json bool
}

func (c *CLI) access() *cobra.Command {
	a := &accessCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "access", Short: "List who may work on an app", Example: "$ hoist access", Args: args(cobra.NoArgs),
	}
	cmd.RunE = a.on(a.show)
	a.flags(cmd)
	jsonFlag(cmd, &a.json)
	return cmd
}

func (a *accessCommand) show(ctx context.Context, _ []string) error {
	people, err := list[collaborator](ctx, a.api, a.path("collaborators"), "", 0)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(people)
	}
	var v app
	if err := a.api.get(ctx, a.path(), &v); err != nil {
		return err
	}
	rows := [][]string{{v.Owner.Email, "owner"}}
	for _, p := range people {
		if p.V.User.Email != v.Owner.Email {
			rows = append(rows, []string{p.V.User.Email, "collaborator"})
		}
	}
	a.columns(rows)
	return nil
}

func (c *CLI) accessAdd() *cobra.Command {
	t := &target{CLI: c}
	cmd := &cobra.Command{
		Use: "access:add EMAIL", Short: "Let somebody work on an app", Aliases: []string{"sharing:add"},
		Example: "$ hoist access:add joe@example.com", Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = t.on(func(ctx context.Context, args []string) error {
		return t.doing("Adding "+args[0]+" to "+t.app, func() (string, error) {
			return "", t.api.post(ctx, t.path("collaborators"), map[string]any{"user": args[0], "silent": true}, nil)
		})
	})
	t.flags(cmd)
	return cmd
}

func (c *CLI) accessRemove() *cobra.Command {
	t := &target{CLI: c}
	cmd := &cobra.Command{
		Use: "access:remove EMAIL", Short: "Let somebody no longer work on an app", Aliases: []string{"sharing:remove"},
		Example: "$ hoist access:remove joe@example.com", Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = t.on(func(ctx context.Context, args []string) error {
		return t.doing("Removing "+args[0]+" from "+t.app, func() (string, error) {
			return "", t.api.delete(ctx, t.path("collaborators", args[0]), nil)
		})
	})
	t.flags(cmd)
	return cmd
}

type domainsCommand struct {
	target
	json bool
}

func (c *CLI) domains() *cobra.Command {
	d := &domainsCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "domains", Short: "List the host names of an app", Example: "$ hoist domains", Args: args(cobra.NoArgs),
	}
	cmd.RunE = d.on(d.show)
	d.flags(cmd)
	jsonFlag(cmd, &d.json)
	return cmd
}

func (d *domainsCommand) show(ctx context.Context, _ []string) error {
	all, err := list[domain](ctx, d.api, d.path("domains"), "", 0)
	if err != nil {
		return err
	}
	if d.json {
		return d.printJSON(all)
	}
	rows := [][]string{}
	for _, item := range all {
		rows = append(rows, []string{item.V.Hostname, item.V.CNAME})
	}
	d.columns(rows)
	return nil
}

func (c *CLI) domainsAdd() *cobra.Command {
	t := &target{CLI: c}
	cmd := &cobra.Command{
		Use: "domains:add HOSTNAME", Short: "Add a host name to an app",
		Example: "$ hoist domains:add www.example.com", Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = t.on(func(ctx context.Context, args []string) error {
		var made domain
		err := t.doing("Adding "+args[0]+" to "+t.app, func() (string, error) {
			return "", t.api.post(ctx, t.path("domains"), map[string]any{"hostname": args[0], "sni_endpoint": nil}, &made)
		})
		if err == nil && made.CNAME != "" {
			t.say("Point the DNS of %s to %s.", args[0], made.CNAME)
		}
		return err
	})
	t.flags(cmd)
	return cmd
}

func (c *CLI) domainsRemove() *cobra.Command {
	t := &target{CLI: c}
	cmd := &cobra.Command{
		Use: "domains:remove HOSTNAME", Short: "Remove a host name from an app",
		Example: "$ hoist domains:remove www.example.com", Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = t.on(func(ctx context.Context, args []string) error {
		return t.doing("Removing "+args[0]+" from "+t.app, func() (string, error) {
			return "", t.api.delete(ctx, t.path("domains", args[0]), nil)
		})
	})
	t.flags(cmd)
	return cmd
}
