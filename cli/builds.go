package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

type buildsCommand struct {
	target
	json bool
}

func (c *CLI) builds() *cobra.Command {
	b := &buildsCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "builds", Short: "List the builds of an app", Example: "$ hoist builds", Args: args(cobra.NoArgs),
	}
	cmd.RunE = b.on(b.show)
	b.flags(cmd)
	jsonFlag(cmd, &b.json)
	return cmd
}

func (b *buildsCommand) show(ctx context.Context, _ []string) error {
	all, err := list[build](ctx, b.api, b.path("builds"), "created_at ..; order=desc", 15)
	if err != nil {
		return err
	}
	if b.json {
		return b.printJSON(all)
	}
	if len(all) == 0 {
		b.say("%s has no builds. Deploy it: git push hoist main", b.app)
		return nil
	}
	rows := [][]string{}
	for _, item := range all {
		v := item.V
		rows = append(rows, []string{v.ID, v.Status, short(v.SourceBlob.Version), v.User.Email, b.ago(v.CreatedAt)})
	}
	b.head("%s Builds", b.app)
	b.columns(rows)
	return nil
}

// short is a commit as people write it.
func short(commit string) string {
	if len(commit) > 12 && strings.Trim(commit, "0123456789abcdef") == "" {
		return commit[:8]
	}
	return commit
}

type buildsInfoCommand struct {
	target
	json bool
}

func (c *CLI) buildsInfo() *cobra.Command {
	b := &buildsInfoCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "builds:info ID", Short: "Show a build", Example: "$ hoist builds:info 01234567-89ab-cdef-0123-456789abcdef",
		Args: args(cobra.ExactArgs(1)),
	}
	cmd.RunE = b.on(b.show)
	b.flags(cmd)
	jsonFlag(cmd, &b.json)
	return cmd
}

func (b *buildsInfoCommand) show(ctx context.Context, args []string) error {
	var v item[build]
	if err := b.api.get(ctx, b.path("builds", args[0]), &v); err != nil {
		return err
	}
	if b.json {
		return b.printJSON(v)
	}
	b.head("Build %s", v.V.ID)
	rows := [][]string{{"By:", v.V.User.Email}, {"Status:", v.V.Status}, {"Stack:", v.V.Stack},
		{"Version:", v.V.SourceBlob.Version}, {"When:", b.ago(v.V.CreatedAt)}}
	if v.V.Release != nil {
		rows = append(rows, []string{"Release:", v.V.Release.ID})
	}
	b.columns(rows)
	return nil
}

type buildsOutputCommand struct{ target }

func (c *CLI) buildsOutput() *cobra.Command {
	b := &buildsOutputCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "builds:output [ID]", Short: "Show a build's output, by default the newest's, until it ends",
		Example: "$ hoist builds:output", Args: args(cobra.MaximumNArgs(1)),
	}
	cmd.RunE = b.on(b.show)
	b.flags(cmd)
	return cmd
}

func (b *buildsOutputCommand) show(ctx context.Context, args []string) error {
	var v build
	if len(args) == 1 {
		if err := b.api.get(ctx, b.path("builds", args[0]), &v); err != nil {
			return err
		}
	} else {
		newest, err := list[build](ctx, b.api, b.path("builds"), "created_at ..; order=desc", 1)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			return fmt.Errorf("%s has no builds. Deploy it: git push hoist main", b.app)
		}
		v = newest[0].V
	}
	out := follower{to: b.Out}
	for failures := 0; ; {
		shown := out.shown
		err := out.attach(ctx, b.api, v.OutputStreamURL)
		if err == nil {
			err = b.api.get(ctx, b.path("builds", v.ID), &v)
		}
		if err == nil && v.Status != "pending" {
			break
		}
		if e, ok := hoist.AsError(err); ok && e.Status < 500 || ctx.Err() != nil {
			return err
		}
		if failures++; out.shown > shown {
			failures = 0
		}
		if failures == attachTries {
			return fmt.Errorf("The output broke off: %w\nSee the rest with: hoist builds:output %s -a %s", cmp.Or(err, io.ErrUnexpectedEOF), v.ID, b.app)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(attachPause):
		}
	}
	if v.Status == "failed" {
		return fmt.Errorf("The build failed.")
	}
	if v.Release != nil {
		var made release
		if err := b.api.get(ctx, b.path("releases", v.Release.ID), &made); err != nil {
			return err
		}
		if made.Status == "failed" {
			return fmt.Errorf("The release v%d failed.", made.Version)
		}
	}
	return nil
}
