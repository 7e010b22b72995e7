package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completePatience is how long a person waits for the Tab key.
const completePatience = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

func (c *CLI) completeApps(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completePatience)
	defer cancel()
	return c.appNames(ctx), noFiles
}

// completing finds the app for a completion and calls f; what fails is not
// completed.
func (t *target) completing(f func(ctx context.Context) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completePatience)
	defer cancel()
	if t.resolve(ctx) != nil {
		return nil, noFiles
	}
	return f(ctx), noFiles
}

func (t *target) completeDynos(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return t.completing(t.dynoNames)
}

func (t *target) completeTypes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return t.completing(func(ctx context.Context) []string {
		formation, err := list[processType](ctx, t.api, t.path("formation"), "", 0)
		if err != nil {
			return nil
		}
		var types []string
		for _, p := range formation {
			types = append(types, p.V.Type)
		}
		return types
	})
}

func (t *target) completeScale(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
	types, _ := t.completeTypes(cmd, given, word)
	return equals(types), noFiles | cobra.ShellCompDirectiveNoSpace
}

func (t *target) completeConfig(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return t.completing(func(ctx context.Context) []string {
		var vars map[string]string
		if t.api.get(ctx, t.path("config-vars"), &vars) != nil {
			return nil
		}
		return slices.Sorted(maps.Keys(vars))
	})
}

func (t *target) completeConfigSet(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
	names, _ := t.completeConfig(cmd, given, word)
	return equals(names), noFiles | cobra.ShellCompDirectiveNoSpace
}

func (t *target) completeReleases(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return t.completing(func(ctx context.Context) []string {
		recent, err := list[release](ctx, t.api, t.path("releases"), newestFirst, 20)
		if err != nil {
			return nil
		}
		var names []string
		for _, r := range recent {
			names = append(names, fmt.Sprintf("v%d\t%s", r.V.Version, r.V.Description))
		}
		return names
	})
}

// completeResize completes "web=" and then the size behind it.
func (t *target) completeResize(cmd *cobra.Command, given []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, sized := strings.Cut(word, "=")
	if !sized {
		return t.completeScale(cmd, given, word)
	}
	sizes, directive := t.completeSizes(cmd, given, word)
	for i := range sizes {
		sizes[i] = name + "=" + sizes[i]
	}
	return sizes, directive
}

func (t *target) completeSizes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return t.completing(func(ctx context.Context) []string {
		sizes, err := list[ref](ctx, t.api, t.path("available-dyno-sizes"), "", 0)
		if err != nil {
			return nil
		}
		var names []string
		for _, s := range sizes {
			names = append(names, s.V.Name)
		}
		return names
	})
}

func (t *target) completeRemotes(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completePatience)
	defer cancel()
	list, err := remotes(ctx, t.Dir)
	if err != nil {
		return nil, noFiles
	}
	var names []string
	for _, r := range list {
		names = append(names, r.name+"\t"+r.app)
	}
	return names, noFiles
}

// withoutFiles keeps shells from completing names of files where none is meant.
func withoutFiles(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil && !strings.Contains(cmd.Use, "[FILE]") {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, there := cmd.GetFlagCompletionFunc(f.Name); !there && f.Name != "ca" {
			cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
}

func equals(names []string) []string {
	for i := range names {
		names[i] += "="
	}
	return names
}

// topicWords are the second words of a topic's commands: "scale" of ps:scale.
func topicWords(cmd *cobra.Command) []string {
	var words []string
	for _, other := range cmd.Parent().Commands() {
		if word, ok := strings.CutPrefix(other.Name(), cmd.Name()+":"); ok {
			words = append(words, word+"\t"+other.Short)
		}
	}
	return words
}

// configureCompletion has the command that prints completion scripts say how to
// use them.
func configureCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd := findCommand(root, "completion")
	if cmd == nil {
		return
	}
	cmd.Long = `Print a script that teaches a shell hoist's commands, and your apps, dynos and
config vars. For every new shell:

  bash  in ~/.bashrc, with the package bash-completion:  . <(hoist completion bash)
  zsh   in ~/.zshrc, behind compinit:                    . <(hoist completion zsh)
  fish  in ~/.config/fish/config.fish:                   hoist completion fish | source`
	cmd.Use = "completion SHELL"
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("There is no completion for %s, only for bash, zsh, fish and powershell.", args[0])
		}
		return cmd.Help()
	}
}
