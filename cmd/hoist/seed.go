package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/cli"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/hoist-sh/hoist/socket"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func init() { commands = append(commands, (&seedCommand{}).command()) }

// readyWithin is how long a start may take before we stop watching it; the first one on a slow machine takes two minutes.
const readyWithin = 3 * time.Minute

// seedFlags are how every command that has to do with a seed is told which.
type seedFlags struct {
	config  string
	without []string
	flags   *pflag.FlagSet
}

// add adds the flags; all says whether the seed is started, and not only found. The commands below
// only find it.
func (f *seedFlags) add(cmd *cobra.Command, all bool) {
	f.flags = pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	f.flags.StringVar(&f.config, "config", "", "settings `FILE` (default "+seed.DefaultConfig+", if it is there)")
	defaults := seed.Defaults()
	for _, o := range defaults.Options() {
		if all || o.Flag == "data" {
			f.flags.String(o.Flag, o.Value, o.Usage+" ($"+o.Env+")")
		}
	}
	if all {
		f.flags.StringSliceVar(&f.without, "without", nil, "components not to run, separated by commas")
	}
	cmd.Flags().AddFlagSet(f.flags)
	for _, name := range []string{"config", "data"} {
		cmd.PersistentFlags().AddFlag(f.flags.Lookup(name))
	}
}

// wanted are the settings that flags, environment and file ask for.
func (f *seedFlags) wanted() (seed.Settings, error) {
	given := map[string]string{}
	defaults := seed.Defaults()
	for _, o := range defaults.Options() {
		if flag := f.flags.Lookup(o.Flag); flag != nil && flag.Changed {
			given[o.Flag] = flag.Value.String()
		}
	}
	return seed.Load(f.config, os.Environ(), given, f.without)
}

// saved are the settings of the seed that runs, or ran last.
func (f *seedFlags) saved() (seed.Settings, error) {
	s, err := f.wanted()
	if err != nil {
		return s, err
	}
	return seed.Saved(s.DataDir)
}

// args are those of a seed that is to run with these flags in another directory.
func (f *seedFlags) args(s seed.Settings) ([]string, error) {
	args := []string{"seed", "--data=" + s.DataDir}
	var err error
	f.flags.VisitAll(func(p *pflag.Flag) {
		value := p.Value.String()
		if list, ok := p.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		switch {
		case !p.Changed || p.Name == "data":
			return
		case p.Name == "config":
			value, err = filepath.Abs(value)
		}
		args = append(args, "--"+p.Name+"="+value)
	})
	return args, err
}

type seedCommand struct {
	seedFlags
	daemon, keep, background, json bool
}

func (c *seedCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "seed",
		Short:   "Run the platform on this machine: the ground and all components",
		GroupID: "platform",
		Long: `Run the platform on this machine: Postgres, the bus, the blob store, and the
components. Settings come from flags, the environment, and a file, in that
order; hoist.example.toml describes them. They are read when a seed starts: to
change them, stop the one that runs with ` + "`hoist seed stop`" + `.`,
		Example: "$ hoist seed --daemon\n$ hoist seed --data /srv/hoist --http-port 80 --without runtime",
		Args:    cobra.NoArgs,
		RunE:    c.run,
	}
	c.add(cmd, true)
	cmd.Flags().BoolVarP(&c.daemon, "daemon", "d", false, "run in the background (as a systemd unit where there is systemd)")
	cmd.Flags().BoolVar(&c.keep, "keep", false, "be what --daemon starts: keep a seed running")
	cmd.Flags().BoolVar(&c.background, "background", false, "be the seed that is kept running")
	cmd.Flags().MarkHidden("keep")
	cmd.Flags().MarkHidden("background")

	status := &cobra.Command{Use: "status", Short: "Show what runs, and what it waits for", Args: cobra.NoArgs, RunE: c.status}
	status.Flags().BoolVar(&c.json, "json", false, "as JSON")
	cmd.AddCommand(status, c.offCommand(),
		&cobra.Command{Use: "stop", Short: "Stop the seed and the ground; dynos go on, also the platform's own", Args: cobra.NoArgs, RunE: c.stop,
			Long: `Stop the seed and with it the ground: Postgres, the bus and the blob store. Dynos
go on, also those of the platform's own app; ` + "`hoist down`" + ` stops all. Where there is
systemd, the seed starts again with the machine.`},
		&cobra.Command{Use: "env COMPONENT", Short: "Print the environment of a component, to run it alone",
			Long: `Print the environment of a component, NAME=value in each line, with its secrets.
` + "`hoist seed exec`" + ` runs a command in it.`,
			Example: "$ sudo hoist seed env compile", Args: cobra.ExactArgs(1), RunE: c.env},
		c.execCommand(), c.systemCommand())
	cmd.AddCommand((&outOfBand{c}).commands()...)
	return cmd
}

func (c *seedCommand) run(cmd *cobra.Command, _ []string) error {
	settings, err := c.wanted()
	if err != nil {
		return err
	}
	if c.daemon {
		return c.start(cmd, settings)
	}
	if c.keep {
		return c.keeper(cmd, settings)
	}
	if err := socket.Inherit(); err != nil {
		return err
	}
	successor := seed.SuccessorOf(settings, version())
	switch {
	case cmd.Context().Err() != nil: // what is begun in this process now would not know
		return nil
	case successor != "":
		return socket.Exec(successor, os.Args, nil)
	}
	if slices.Contains(settings.Components, hoist.ComponentRuntime) {
		if os.Geteuid() != 0 {
			return fmt.Errorf("The seed makes containers, which needs root. Use sudo, or leave that out with --without runtime.")
		}
		if err := oci.Isolate(); err != nil {
			return err
		}
	}
	var out io.Writer = os.Stderr
	started := seed.NotifyStarted
	if c.background {
		file, err := seed.OpenLog(settings.LogPath())
		if err != nil {
			return err
		}
		out, started = file, func() error { return errors.Join(file.TakeStandard(), seed.NotifyStarted()) }
	}
	err = seed.Run(cmd.Context(), seed.Config{
		Settings:     settings,
		Replaceable:  true,
		Held:         socket.Held,
		Outside:      oci.Outside,
		Version:      version(),
		Log:          slog.New(slog.NewTextHandler(out, nil)),
		RunComponent: runComponent,
		Offer:        socket.Offer,
		Started:      started,
		Engine:       systemEngine(settings, out),
		HoldAddress:  oci.HoldAddress,
		HoldNetwork:  oci.HoldNetwork,
		Stack:        stackName(os.Getenv),
		Region:       hoist.Region,
	})
	if r, ok := errors.AsType[*seed.Replacement](err); ok {
		oci.PassOuter()
		return socket.Exec(r.Path, os.Args, r.Files)
	}
	return err
}

// systemEngine makes the engine of the platform's own dynos, where containers
// can be made at all.
func systemEngine(s seed.Settings, out io.Writer) func(name, dir string, network netip.Prefix) (seed.Engine, error) {
	if !slices.Contains(s.Components, hoist.ComponentRuntime) {
		return nil
	}
	return func(name, dir string, network netip.Prefix) (seed.Engine, error) {
		return oci.New(oci.Config{Name: name, Dir: dir, Network: network, Runtime: s.OCIRuntime,
			Log: slog.New(slog.NewTextHandler(out, nil)).With("engine", name)})
	}
}

func runComponent(ctx context.Context, name string, environ []string, log *slog.Logger) error {
	i := slices.IndexFunc(components, func(c component) bool { return c.name == name })
	if i < 0 {
		return fmt.Errorf("there is no component %q in this program", name)
	}
	return components[i].run(ctx, environ, log)
}

// start starts the seed in the background with the arguments we were given.
func (c *seedCommand) start(cmd *cobra.Command, settings seed.Settings) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	args, err := c.args(settings)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), readyWithin)
	defer cancel()
	begun := time.Now()
	say := func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), "      ", what) }
	if err := seed.Daemon(ctx, settings, binary, args, say); err != nil {
		return err
	}
	running, err := seed.Saved(settings.DataDir) // there may have been one, started with others
	if err != nil {
		return err
	}
	if other := settings.Differing(running); len(other) > 0 {
		say("it goes on with other settings than these (" + strings.Join(other, ", ") + "): `hoist seed stop` ends it, then this starts one with them")
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The platform runs at %s (ready in %s).\n", running.Public().API(), time.Since(begun).Round(100*time.Millisecond))
	return nil
}

// keeper runs the seed with the arguments we were given.
func (c *seedCommand) keeper(cmd *cobra.Command, settings seed.Settings) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return a == "--keep" })
	code, err := seed.Keep(cmd.Context(), settings, binary, append(args, "--background"))
	if err != nil {
		return err
	}
	return cli.ExitCode(code)
}

func (c *seedCommand) stop(cmd *cobra.Command, _ []string) error {
	settings, err := c.saved()
	if err != nil {
		return err
	}
	if !seed.Running(settings) && !seed.Kept(settings) {
		fmt.Fprintf(cmd.OutOrStdout(), "No seed runs in %s.\n", settings.DataDir)
		return nil
	}
	if err := seed.Stop(cmd.Context(), settings); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "The seed has stopped. Dynos go on; `hoist down` stops them too.")
	return nil
}

// ask asks the seed that runs what it does.
func (c *seedCommand) ask(cmd *cobra.Command) (seed.Status, error) {
	settings, err := c.saved()
	if err != nil {
		return seed.Status{}, err
	}
	return seed.AskStatus(cmd.Context(), settings)
}

func (c *seedCommand) status(cmd *cobra.Command, _ []string) error {
	st, err := c.ask(cmd)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if c.json {
		return printJSON(out, st)
	}
	fmt.Fprintf(out, "seed %s, process %d, up for %s, data in %s\n", st.Version, st.PID, age(st.Since), st.Dir)
	for _, p := range []string{"http", "https", "ssh", "rendezvous"} {
		fmt.Fprintf(out, "%-11s %s\n", p, st.Ports[p])
	}
	if st.Dynos == nil {
		fmt.Fprintln(out, "dynos       unknown while the database is away")
	} else {
		fmt.Fprintf(out, "dynos       %d up, %d starting, %d crashed\n", st.Dynos["up"], st.Dynos["starting"], st.Dynos["crashed"])
	}
	printStage(out, st.System)
	fmt.Fprintln(out)
	printTasks(out, st)
	if !st.Ready {
		fmt.Fprintf(out, "\nNot ready: waits for %s.\n", strings.Join(st.WaitsFor, ", "))
	}
	if len(st.Notes) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(st.Notes, "\n"))
	}
	return nil
}

// printStage says how far the platform runs on itself.
func printStage(out io.Writer, st *seed.SystemStatus) {
	switch {
	case st == nil || len(st.Dynos) == 0:
		fmt.Fprintln(out, "stage       0: everything runs inside the seed")
	default:
		beyond, commit := "", ""
		if st.Beyond {
			beyond = "beyond "
		}
		if st.Commit != "" {
			commit = fmt.Sprintf(" of commit %.12s", st.Commit)
		}
		fmt.Fprintf(out, "stage       %s%d: release v%d%s, slug %.12s\n", beyond, st.Stage, st.Version, commit, st.Slug)
	}
	if st != nil {
		for _, why := range []string{st.Because, st.Failed} {
			if why != "" {
				fmt.Fprintf(out, "            %s\n", why)
			}
		}
	}
}

// age is a time as "9d", "3h", "12m" or "5s".
func age(since time.Time) string {
	d := time.Since(since)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func (c *seedCommand) env(cmd *cobra.Command, args []string) error {
	settings, err := c.wanted()
	if err != nil {
		return err
	}
	environ, err := seed.EnvironOf(settings.DataDir, args[0])
	if err != nil {
		return err
	}
	for _, kv := range environ {
		fmt.Fprintln(cmd.OutOrStdout(), kv)
	}
	return nil
}

// execCommand is `seed env` for commands that must not show its secrets in
// the list of processes.
func (c *seedCommand) execCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "exec COMPONENT COMMAND [ARG…]", Short: "Run a command in the environment of a component",
		Example: "$ sudo hoist seed exec api hoist admin account ann@example.com\n$ sudo hoist seed exec compile hoist compile", Args: cobra.MinimumNArgs(2), RunE: c.exec}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (c *seedCommand) exec(_ *cobra.Command, args []string) error {
	settings, err := c.wanted()
	if err != nil {
		return err
	}
	environ, err := seed.EnvironOf(settings.DataDir, args[0])
	if err != nil {
		return err
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	// Once each: of two variables of one name some programs take the first, others the last.
	once := (&exec.Cmd{Env: append(os.Environ(), environ...)}).Environ()
	return syscall.Exec(program, args[1:], once)
}
