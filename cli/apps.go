package cli

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
)

type appsCommand struct {
	*CLI
	json bool
}

func (c *CLI) apps() *cobra.Command {
	a := &appsCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "apps", Short: "List your apps", Aliases: []string{"apps:list"},
		Example: "$ hoist apps",
		Args:    args(cobra.NoArgs), RunE: a.run,
	}
	jsonFlag(cmd, &a.json)
	return cmd
}

func jsonFlag(cmd *cobra.Command, json *bool) {
	cmd.Flags().BoolVar(json, "json", false, "print JSON, as the API answers it")
}

func (a *appsCommand) run(cmd *cobra.Command, _ []string) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	apps, err := list[app](cmd.Context(), api, "/apps", "", 0)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(apps)
	}
	if len(apps) == 0 {
		a.say("You have no apps. `hoist create` makes one.")
		return nil
	}
	var me account
	if err := api.get(cmd.Context(), "/account", &me); err != nil {
		return err
	}
	var mine, others [][]string
	for _, item := range apps {
		switch v := item.V; {
		case v.Owner.Email == me.Email:
			mine = append(mine, []string{v.Name})
		default:
			others = append(others, []string{v.Name, v.Owner.Email})
		}
	}
	if len(mine) > 0 {
		a.head("%s Apps", me.Email)
		a.columns(mine)
	}
	if len(others) > 0 {
		if len(mine) > 0 {
			a.print("")
		}
		a.head("Collaborated Apps")
		a.columns(others)
	}
	return nil
}

type createCommand struct {
	*CLI
	stack, region, buildpack, remote string
	noRemote, json                   bool
}

func (c *CLI) create() *cobra.Command {
	r := &createCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "create [APP]", Short: "Create an app and its git remote", Aliases: []string{"apps:create"},
		Example: "$ hoist create\n$ hoist create my-app --buildpack https://github.com/heroku/heroku-buildpack-inline",
		Args:    args(cobra.MaximumNArgs(1)), RunE: r.run,
	}
	cmd.Flags().StringVarP(&r.remote, "remote", "r", "hoist", "name of the git remote to make")
	cmd.Flags().BoolVarP(&r.noRemote, "no-remote", "n", false, "make no git remote")
	cmd.Flags().StringVarP(&r.buildpack, "buildpack", "b", "", "buildpack URL or name")
	cmd.Flags().StringVarP(&r.stack, "stack", "s", "", "stack")
	cmd.Flags().StringVar(&r.region, "region", "", "region")
	jsonFlag(cmd, &r.json)
	return cmd
}

func (r *createCommand) run(cmd *cobra.Command, args []string) error {
	api, err := r.client()
	if err != nil {
		return err
	}
	body := map[string]string{}
	what := "Creating app"
	if len(args) == 1 {
		body["name"] = args[0]
		what = "Creating " + args[0]
	}
	if r.stack != "" {
		body["stack"] = r.stack
	}
	if r.region != "" {
		body["region"] = r.region
	}
	var made item[app]
	err = r.doing(what, func() (string, error) {
		if err := api.post(cmd.Context(), "/apps", body, &made); err != nil || len(args) == 1 {
			return "", err
		}
		return made.V.Name, nil
	})
	if err != nil {
		return err
	}
	if r.json {
		err = r.printJSON(made)
	} else {
		r.print("%s | %s", made.V.WebURL, made.V.GitURL)
	}
	t := &target{CLI: r.CLI, app: made.V.Name, api: api}
	if err == nil && !r.noRemote && inRepository(cmd.Context(), r.Dir) {
		err = r.addRemote(cmd.Context(), t, made.V.GitURL)
	}
	if err != nil || r.buildpack == "" {
		return err
	}
	err = r.doing("Setting buildpack to "+r.buildpack, func() (string, error) {
		return "", api.put(cmd.Context(), t.path("buildpack-installations"), buildpackUpdates([]string{r.buildpack}), nil)
	})
	if err != nil {
		return fmt.Errorf("%w\nThe app %s is there all the same. Set another buildpack: hoist buildpacks:set BUILDPACK -a %[2]s", err, made.V.Name)
	}
	return nil
}

// addRemote makes the remote of a new app; what is there for another app stays.
func (r *createCommand) addRemote(ctx context.Context, t *target, address string) error {
	if there, err := git(ctx, r.Dir, "remote", "get-url", r.remote); err == nil && there != address {
		r.say(" !    The git remote %s is %s, and stays so.\n !    Make it lead to the new app: hoist git:remote %s -r %[1]s", r.remote, there, t.app)
		return nil
	}
	return t.setRemote(ctx, r.remote, address)
}

type infoCommand struct {
	target
	json bool
}

func (c *CLI) info() *cobra.Command {
	i := &infoCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "info [APP]", Short: "Show an app", Aliases: []string{"apps:info"},
		Example: "$ hoist info --app my-app", Args: args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: c.completeApps,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			i.app = args[0]
		}
		return i.on(i.show)(cmd, args)
	}
	i.flags(cmd)
	jsonFlag(cmd, &i.json)
	return cmd
}

func (i *infoCommand) show(ctx context.Context, _ []string) error {
	var a item[app]
	if err := i.api.get(ctx, i.path(), &a); err != nil {
		return err
	}
	if i.json {
		return i.printJSON(a)
	}
	dynos, err := list[dyno](ctx, i.api, i.path("dynos"), "", 0)
	if err != nil {
		return err
	}
	people, err := list[collaborator](ctx, i.api, i.path("collaborators"), "", 0)
	if err != nil {
		return err
	}
	v := a.V
	rows := [][]string{}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name + ":", value})
		}
	}
	var others []string
	for _, p := range people {
		if p.V.User.Email != v.Owner.Email {
			others = append(others, p.V.User.Email)
		}
	}
	add("Collaborators", strings.Join(others, ", "))
	var order []string
	byType := map[string][]dyno{}
	for _, d := range dynos {
		if byType[d.V.Type] == nil {
			order = append(order, d.V.Type)
		}
		byType[d.V.Type] = append(byType[d.V.Type], d.V)
	}
	for n, t := range order {
		order[n] = fmt.Sprintf("%s: %d", t, places(byType[t]))
	}
	add("Dynos", strings.Join(order, ", "))
	add("Git URL", v.GitURL)
	if v.Maintenance {
		add("Maintenance", "on")
	}
	add("Owner", v.Owner.Email)
	add("Region", v.Region.Name)
	if v.ReleasedAt != nil {
		add("Released", i.ago(*v.ReleasedAt))
	}
	add("Created", i.ago(v.CreatedAt))
	if v.RepoSize != nil {
		add("Repo Size", size(*v.RepoSize))
	}
	if v.SlugSize != nil {
		add("Slug Size", size(*v.SlugSize))
	}
	add("Buildpack", v.Buildpack)
	add("Stack", v.Stack.Name)
	add("Web URL", v.WebURL)
	i.head("%s", v.Name)
	i.columns(rows)
	return nil
}

type openCommand struct{ target }

func (c *CLI) open() *cobra.Command {
	o := &openCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "open [PATH]", Short: "Open an app in the browser", Aliases: []string{"apps:open"},
		Example: "$ hoist open /admin", Args: args(cobra.MaximumNArgs(1)),
	}
	cmd.RunE = o.on(o.show)
	o.flags(cmd)
	return cmd
}

func (o *openCommand) show(ctx context.Context, args []string) error {
	var a app
	if err := o.api.get(ctx, o.path(), &a); err != nil {
		return err
	}
	address := a.WebURL
	if len(args) == 1 {
		address = strings.TrimRight(address, "/") + "/" + strings.TrimLeft(args[0], "/")
	}
	o.print("%s", address)
	for _, browser := range []string{"xdg-open", "open", "wslview"} {
		if _, err := exec.LookPath(browser); err == nil && isTerminal(o.Out) {
			return exec.CommandContext(ctx, browser, address).Run()
		}
	}
	return nil
}

type renameCommand struct{ target }

func (c *CLI) rename() *cobra.Command {
	r := &renameCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "rename NEW_NAME", Short: "Rename an app", Aliases: []string{"apps:rename"},
		Example: "$ hoist rename my-new-name --app my-app", Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = r.on(r.rename)
	r.flags(cmd)
	return cmd
}

func (r *renameCommand) rename(ctx context.Context, args []string) error {
	old := r.app
	var a app
	err := r.doing("Renaming "+old+" to "+args[0], func() (string, error) {
		return "", r.api.patch(ctx, r.path(), map[string]string{"name": args[0]}, &a)
	})
	if err != nil {
		return err
	}
	r.print("%s | %s", a.WebURL, a.GitURL)
	list, err := r.remotesHere(ctx, old)
	for _, m := range list {
		address := a.GitURL
		if m.ssh && a.SSHURL != "" {
			address = a.SSHURL
		}
		if err := r.setRemote(ctx, m.name, address); err != nil {
			return err
		}
	}
	return err
}

type destroyCommand struct {
	target
	confirm string
}

func (c *CLI) destroy() *cobra.Command {
	d := &destroyCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "destroy [APP]", Short: "Destroy an app and everything it has", Aliases: []string{"apps:destroy"},
		Example:           "$ hoist destroy my-app --confirm my-app",
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: c.completeApps,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			d.app = args[0]
		}
		return d.on(d.destroy)(cmd, args)
	}
	d.flags(cmd)
	cmd.Flags().StringVarP(&d.confirm, "confirm", "c", "", "the app's name, instead of being asked for it")
	return cmd
}

func (d *destroyCommand) destroy(ctx context.Context, _ []string) error {
	var a app
	if err := d.api.get(ctx, d.path(), &a); err != nil {
		return err
	}
	if err := d.confirmed(ctx, a.Name, d.confirm, "This destroys "+a.Name+" with its code, config, releases and logs."); err != nil {
		return err
	}
	err := d.doing("Destroying "+a.Name, func() (string, error) {
		return "", d.api.delete(ctx, d.path(), nil)
	})
	if err != nil {
		return err
	}
	list, err := d.remotesHere(ctx, a.Name)
	for _, m := range list {
		if _, err := git(ctx, d.Dir, "remote", "remove", m.name); err != nil {
			return err
		}
		d.say("removed git remote %s", m.name)
	}
	return err
}

// confirmed makes sure that a person means what cannot be undone: given holds
// the name already, or the person types it.
func (c *CLI) confirmed(ctx context.Context, name, given, what string) error {
	if given == "" {
		if !isTerminal(c.In) {
			return usagef("%s\nIf you mean it, add --confirm %s.", what, name)
		}
		c.say(" !    %s\n !    To go on, type %s or run again with --confirm %s.\n", what, name, name)
		line, _ := c.ask(ctx, "> ", bufio.NewReader(c.In))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		given = strings.TrimSpace(line)
	}
	if given != name {
		return fmt.Errorf("Confirmation %q is not %s. Nothing was done.", given, name)
	}
	return nil
}

type maintenanceCommand struct {
	target
	on bool
}

func (c *CLI) maintenance() *cobra.Command {
	t := &target{CLI: c}
	cmd := &cobra.Command{
		Use: "maintenance", Short: "Show whether an app is in maintenance mode",
		Example: "$ hoist maintenance:on", Args: args(cobra.NoArgs),
	}
	cmd.RunE = t.on(func(ctx context.Context, _ []string) error {
		var a app
		if err := t.api.get(ctx, t.path(), &a); err != nil {
			return err
		}
		t.print("%s", map[bool]string{true: "on", false: "off"}[a.Maintenance])
		return nil
	})
	t.flags(cmd)
	return cmd
}

func (c *CLI) maintenanceOn() *cobra.Command {
	return c.maintenanceSwitch(true, "on", "Show visitors a maintenance page")
}

func (c *CLI) maintenanceOff() *cobra.Command {
	return c.maintenanceSwitch(false, "off", "Show visitors the app again")
}

func (c *CLI) maintenanceSwitch(on bool, word, short string) *cobra.Command {
	m := &maintenanceCommand{target{CLI: c}, on}
	cmd := &cobra.Command{
		Use: "maintenance:" + word, Short: short, Example: "$ hoist maintenance:" + word, Args: args(cobra.NoArgs),
	}
	cmd.RunE = m.target.on(func(ctx context.Context, _ []string) error {
		what := "Turning maintenance mode of " + m.app + " " + word
		return m.doing(what, func() (string, error) {
			return "", m.api.patch(ctx, m.path(), map[string]bool{"maintenance": m.on}, nil)
		})
	})
	m.flags(cmd)
	return cmd
}
