package cli

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// newestFirst is a Range for releases.
const newestFirst = "version ..; order=desc"

type releasesCommand struct {
	target
	json   bool
	number int
}

func (c *CLI) releases() *cobra.Command {
	r := &releasesCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "releases", Short: "List the releases of an app", Aliases: []string{"releases:list"},
		Example: "$ hoist releases -n 5", Args: args(cobra.NoArgs),
	}
	cmd.RunE = r.on(r.show)
	r.flags(cmd)
	jsonFlag(cmd, &r.json)
	cmd.Flags().IntVarP(&r.number, "num", "n", 15, "how many, from the newest")
	return cmd
}

func (r *releasesCommand) show(ctx context.Context, _ []string) error {
	if r.number < 1 {
		return usagef("--num must be at least 1.")
	}
	all, err := list[release](ctx, r.api, r.path("releases"), newestFirst, r.number)
	if err != nil {
		return err
	}
	if r.json {
		return r.printJSON(all)
	}
	if len(all) == 0 {
		r.say("%s has no releases.", r.app)
		return nil
	}
	title := r.app + " Releases"
	rows := [][]string{}
	for _, item := range all {
		v := item.V
		if v.Current {
			title += fmt.Sprintf(" - Current: v%d", v.Version)
		}
		description := v.Description
		switch v.Status {
		case "", "succeeded":
		case "failed":
			description += " " + r.paint(r.Out, red, "failed")
			if v.Reason != "" {
				description += ": " + clip(firstLine(v.Reason), 80)
			}
		default:
			description += " (" + v.Status + ")"
		}
		rows = append(rows, []string{fmt.Sprintf("v%d", v.Version), description, v.User.Email, r.ago(v.CreatedAt)})
	}
	r.head("%s", title)
	r.columns(rows)
	return nil
}

type releasesInfoCommand struct {
	target
	json bool
}

func (c *CLI) releasesInfo() *cobra.Command {
	r := &releasesInfoCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "releases:info [vN]", Short: "Show a release, by default the newest",
		Example: "$ hoist releases:info v12", Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: r.completeReleases,
	}
	cmd.RunE = r.on(r.show)
	r.flags(cmd)
	jsonFlag(cmd, &r.json)
	return cmd
}

func (r *releasesInfoCommand) show(ctx context.Context, args []string) error {
	var v item[release]
	if len(args) == 1 {
		version, err := parseVersion(args[0])
		if err != nil {
			return err
		}
		if err := r.api.get(ctx, r.path("releases", strconv.Itoa(version)), &v); err != nil {
			return err
		}
	} else {
		newest, err := list[release](ctx, r.api, r.path("releases"), newestFirst, 1)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			return fmt.Errorf("%s has no releases.", r.app)
		}
		v = newest[0]
	}
	if r.json {
		return r.printJSON(v)
	}
	r.head("Release v%d", v.V.Version)
	rows := [][]string{{"By:", v.V.User.Email}, {"Change:", v.V.Description}, {"Status:", v.V.Status}, {"When:", r.ago(v.V.CreatedAt)}}
	if v.V.Reason != "" {
		rows[2][1] = r.paint(r.Out, red, v.V.Status)
		for i, line := range strings.Split(strings.TrimSpace(v.V.Reason), "\n") {
			rows = append(rows, []string{map[bool]string{true: "Reason:"}[i == 0], line})
		}
	}
	if v.V.Slug != nil {
		rows = append(rows, []string{"Slug:", v.V.Slug.ID})
		var s item[slug]
		if err := r.api.get(ctx, r.path("slugs", v.V.Slug.ID), &s); err != nil {
			return err
		}
		if sum := s.V.Checksum; sum != "" {
			rows = append(rows, []string{"", sum})
		}
	}
	r.columns(rows)
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// clip shortens a text to n characters.
func clip(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

var versionArg = regexp.MustCompile(`^v?([0-9]{1,9})$`)

func parseVersion(arg string) (int, error) {
	m := versionArg.FindStringSubmatch(arg)
	if m == nil {
		return 0, usagef("%q is not a release. Releases are called v1, v2, …", arg)
	}
	return strconv.Atoi(m[1])
}

type rollbackCommand struct{ target }

func (c *CLI) rollback() *cobra.Command {
	r := &rollbackCommand{target{CLI: c}}
	cmd := &cobra.Command{
		Use: "rollback [vN]", Short: "Go back to an earlier release, by default the one before", Aliases: []string{"releases:rollback"},
		Example: "$ hoist rollback\n$ hoist rollback v46", Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: r.completeReleases,
	}
	cmd.RunE = r.on(r.rollback)
	r.flags(cmd)
	return cmd
}

func (r *rollbackCommand) rollback(ctx context.Context, args []string) error {
	var to release
	if len(args) == 1 {
		version, err := parseVersion(args[0])
		if err != nil {
			return err
		}
		if err := r.api.get(ctx, r.path("releases", strconv.Itoa(version)), &to); err != nil {
			return err
		}
	} else {
		recent, err := list[release](ctx, r.api, r.path("releases"), newestFirst, 50)
		if err != nil {
			return err
		}
		if to, err = before(recent); err != nil {
			return fmt.Errorf("%s %w", r.app, err)
		}
	}
	var made release
	err := r.doing(fmt.Sprintf("Rolling back %s to v%d", r.app, to.Version), func() (string, error) {
		err := r.api.post(ctx, r.path("releases"), map[string]string{"release": to.ID}, &made)
		return fmt.Sprintf("v%d", made.Version), err
	})
	if err != nil {
		return err
	}
	r.say("Code and config vars are those of v%d again; databases and other data stay as they are.", to.Version)
	return nil
}

// before finds the last good release before the current one.
func before(newestFirst []item[release]) (release, error) {
	current := false
	for _, item := range newestFirst {
		switch v := item.V; {
		case v.Current:
			current = true
		case current && v.Status == "succeeded" && v.Slug != nil:
			return v, nil
		}
	}
	return release{}, fmt.Errorf("has no earlier release to go back to. `hoist releases` lists them.")
}
