package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

type buildpacksCommand struct {
	target
	json  bool
	index int // 1 is the first
}

func (c *CLI) buildpacks() *cobra.Command {
	b := &buildpacksCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "buildpacks", Short: "List the buildpacks of an app, in order", Example: "$ hoist buildpacks", Args: args(cobra.NoArgs),
	}
	cmd.RunE = b.on(b.show)
	b.flags(cmd)
	jsonFlag(cmd, &b.json)
	return cmd
}

func (b *buildpacksCommand) show(ctx context.Context, _ []string) error {
	all, err := list[buildpackInstallation](ctx, b.api, b.path("buildpack-installations"), "", 0)
	if err != nil {
		return err
	}
	if b.json {
		return b.printJSON(all)
	}
	b.printList(buildpackURLs(all))
	return nil
}

func (b *buildpacksCommand) printList(urls []string) {
	if len(urls) == 0 {
		b.say("%s has no buildpacks set: what it needs is found out at each build.", b.app)
		return
	}
	b.head("%s Buildpack%s", b.app, map[bool]string{true: "s"}[len(urls) > 1])
	for i, u := range urls {
		if len(urls) > 1 {
			u = fmt.Sprintf("%d. %s", i+1, u)
		}
		b.print("%s", u)
	}
}

func buildpackURLs(all []item[buildpackInstallation]) []string {
	var urls []string
	for _, item := range all {
		urls = append(urls, item.V.Buildpack.URL)
	}
	return urls
}

func buildpackUpdates(urls []string) map[string]any {
	updates := []map[string]string{}
	for _, u := range urls {
		updates = append(updates, map[string]string{"buildpack": u})
	}
	return map[string]any{"updates": updates}
}

// change replaces the list by what f makes of it.
func (b *buildpacksCommand) change(ctx context.Context, f func(urls []string) ([]string, error)) error {
	all, err := list[buildpackInstallation](ctx, b.api, b.path("buildpack-installations"), "", 0)
	if err != nil {
		return err
	}
	urls, err := f(buildpackURLs(all))
	if err != nil {
		return err
	}
	var after []item[buildpackInstallation]
	if err := b.api.put(ctx, b.path("buildpack-installations"), buildpackUpdates(urls), &after); err != nil {
		return err
	}
	b.say("Buildpacks set. The next push of %s uses them.", b.app)
	b.printList(buildpackURLs(after))
	return nil
}

func (c *CLI) buildpacksSet() *cobra.Command {
	return c.buildpacksChange("buildpacks:set URL", "Set the buildpack, or the one at --index", "$ hoist buildpacks:set hoist/go",
		func(b *buildpacksCommand, urls []string, u string) ([]string, error) {
			if slices.Contains(urls, u) && len(urls) > 1 {
				return nil, fmt.Errorf("%s is set already.", u)
			}
			at := max(b.index, 1) - 1
			if at >= len(urls) {
				return append(urls, u), nil
			}
			urls[at] = u
			return urls, nil
		})
}

func (c *CLI) buildpacksAdd() *cobra.Command {
	return c.buildpacksChange("buildpacks:add URL", "Add a buildpack, last or at --index", "$ hoist buildpacks:add --index 1 hoist/node",
		func(b *buildpacksCommand, urls []string, u string) ([]string, error) {
			if slices.Contains(urls, u) {
				return nil, fmt.Errorf("%s is set already.", u)
			}
			if b.index == 0 || b.index > len(urls) {
				return append(urls, u), nil
			}
			return slices.Insert(urls, b.index-1, u), nil
		})
}

func (c *CLI) buildpacksRemove() *cobra.Command {
	return c.buildpacksChange("buildpacks:remove [URL]", "Remove a buildpack, by its URL or --index", "$ hoist buildpacks:remove hoist/node",
		func(b *buildpacksCommand, urls []string, u string) ([]string, error) {
			at := b.index - 1
			if u != "" {
				at = slices.Index(urls, u)
			}
			if at < 0 || at >= len(urls) {
				message := "There is no such buildpack. `hoist buildpacks` lists those that are set."
				if near := nearest(u, urls); near != "" {
					message = "Buildpack " + u + " is not set.\nDid you mean " + near + "?"
				}
				return nil, fmt.Errorf("%s", message)
			}
			return slices.Delete(urls, at, at+1), nil
		})
}

func (c *CLI) buildpacksChange(use, short, example string, f func(b *buildpacksCommand, urls []string, u string) ([]string, error)) *cobra.Command {
	b := &buildpacksCommand{target: target{CLI: c}}
	count := cobra.ExactArgs(1)
	if strings.Contains(use, "[URL]") {
		count = cobra.MaximumNArgs(1)
	}
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: args(count)}
	cmd.RunE = b.on(func(ctx context.Context, given []string) error {
		u := strings.Join(given, "")
		if b.index < 0 || cmd.Flags().Changed("index") && b.index == 0 {
			return usagef("--index counts from 1.")
		}
		if u == "" && b.index == 0 {
			return usagef("Which one? Give its URL or --index.")
		}
		return b.change(ctx, func(urls []string) ([]string, error) { return f(b, urls, u) })
	})
	b.flags(cmd)
	cmd.Flags().IntVarP(&b.index, "index", "i", 0, "place in the list, from 1")
	return cmd
}

func (c *CLI) buildpacksClear() *cobra.Command {
	b := &buildpacksCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "buildpacks:clear", Short: "Remove all buildpacks; what is needed is found out again", Example: "$ hoist buildpacks:clear",
		Args: args(cobra.NoArgs),
	}
	cmd.RunE = b.on(func(ctx context.Context, _ []string) error {
		return b.change(ctx, func([]string) ([]string, error) { return nil, nil })
	})
	b.flags(cmd)
	return cmd
}
