package main

import (
	"errors"
	"os"
	"time"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/slug"
	"github.com/spf13/cobra"
)

func init() { commands = append(commands, (&compileHere{}).command()) }

// compileHere is hoist-compile: the slug compiler inside a dyno.
type compileHere struct {
	here slug.Here
}

func (c *compileHere) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compile-here [DIR]",
		Short: "Compile a directory into a slug (hoist-compile inside a dyno)",
		Long: `Compile a directory into a slug, as the platform does on git push.

Exit codes: 10 settings, 20 fetching source or buildpack, 30 detection,
40 a buildpack failed, 50 packing, 60 storing the result.`,
		Hidden: true,
		Args:   cobra.MaximumNArgs(1),
		RunE:   c.run,
	}
	f := cmd.Flags()
	f.StringVar(&c.here.CacheDir, "cache", "", "`directory` kept from build to build")
	f.StringVar(&c.here.EnvDir, "env-dir", "", "`directory` with a file for each config var")
	f.StringArrayVar(&c.here.Buildpacks, "buildpack", nil, "`URL` or name of a buildpack; may be repeated")
	f.StringVar(&c.here.Output, "output", "", "`file` to put the slug in (squashfs)")
	return cmd
}

func (c *compileHere) run(cmd *cobra.Command, args []string) error {
	out := buildpack.NewOutput(os.Stdout)
	go out.Watch(cmd.Context(), 30*time.Second)
	var err error
	switch {
	case len(args) == 0 && slug.IsJob(os.Getenv):
		err = slug.Job{Getenv: os.Getenv, Environ: os.Environ(), Out: out}.Run(cmd.Context())
	default:
		c.here.Dir, c.here.Environ, c.here.Out = ".", os.Environ(), out
		if len(args) == 1 {
			c.here.Dir = args[0]
		}
		err = c.here.Run(cmd.Context())
	}
	var e *slug.Error
	if errors.As(err, &e) {
		out.End("")
		out.Warn("%s", err)
		out.End("")
		os.Exit(int(e.Phase))
	}
	return err
}
