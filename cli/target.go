package cli

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// target is the app that a command is for; embedded in commands.
type target struct {
	*CLI
	app    string
	remote string
	api    *client
}

// flags adds --app and --remote.
func (t *target) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&t.app, "app", "a", "", "the app")
	cmd.Flags().StringVarP(&t.remote, "remote", "r", "", "the git remote of the app")
	cmd.RegisterFlagCompletionFunc("app", t.completeApps)
	cmd.RegisterFlagCompletionFunc("remote", t.completeRemotes)
}

// resolve finds the app and makes the client.
func (t *target) resolve(ctx context.Context) (err error) {
	if t.api != nil {
		return nil
	}
	if t.app != "" && t.remote != "" {
		return usagef("Give --app or --remote, not both.")
	}
	base, _, err := t.platform()
	if err != nil {
		return err
	}
	switch {
	case t.app != "":
	case t.remote == "" && t.Env("HOIST_APP") != "":
		t.app = t.Env("HOIST_APP")
	default:
		list, err := remotes(ctx, t.Dir)
		if err != nil {
			return err
		}
		if t.app, err = chooseRemote(list, t.remote, strings.TrimPrefix(base.Hostname(), "api.")); err != nil {
			return err
		}
	}
	t.api, err = t.client()
	return err
}

// path is the app's path in the API, with parts behind it, escaped.
func (t *target) path(parts ...string) string {
	p := "/apps/" + url.PathEscape(t.app)
	for _, part := range parts {
		p += "/" + url.PathEscape(part)
	}
	return p
}

// on wraps a command's body: it finds the app first, and when there is no such
// app names the one that was probably meant.
func (t *target) on(body func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := t.resolve(cmd.Context()); err != nil {
			return err
		}
		err := body(cmd.Context(), args)
		if missing := (noSuchApp{}); !errors.As(err, &missing) {
			return err
		}
		if near := nearest(t.app, t.appNames(cmd.Context())); near != "" && near != t.app {
			return errors.New("Couldn't find that app (" + t.app + ").\nDid you mean " + near + "?")
		}
		return errors.New("Couldn't find that app (" + t.app + ").\n`hoist apps` lists those you may use.")
	}
}

func (c *CLI) appNames(ctx context.Context) []string {
	api, err := c.client()
	if err != nil {
		return nil
	}
	apps, err := list[app](ctx, api, "/apps", "", 0)
	if err != nil {
		return nil
	}
	var names []string
	for _, a := range apps {
		names = append(names, a.V.Name)
	}
	return names
}
