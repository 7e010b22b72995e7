package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

func init() {
	commands = append(commands, (&downCommand{}).command(), (&downCommand{purge: true}).command())
}

// dynosEnd is how long dynos may take to end after SIGTERM.
const dynosEnd = 10 * time.Second

// downCommand is `hoist down` and, with the data, `hoist purge`.
type downCommand struct {
	seedFlags
	purge, yes bool
}

func (c *downCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "down", Short: "Stop the platform and all dynos on this machine; data stays", GroupID: "platform",
		Long: `Stop the platform and all dynos on this machine. No process, mount, network
namespace, cgroup or firewall rule is left; data stays.`,
		Args: cobra.NoArgs, RunE: c.run,
	}
	if c.purge {
		cmd.Use, cmd.Short = "purge", "Stop the platform and remove all its data"
		cmd.Long = "Stop the platform and all dynos on this machine, and remove all data: apps,\nslugs, repositories, accounts."
		cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	}
	c.add(cmd, false)
	return cmd
}

func (c *downCommand) run(cmd *cobra.Command, _ []string) error {
	settings, err := c.saved()
	if err != nil {
		return err
	}
	// Before the question, as it begins the program again.
	if err := oci.Isolate(); err != nil {
		return err
	}
	if c.purge && !c.yes {
		fmt.Fprintf(cmd.ErrOrStderr(), "This removes all apps and data in %s. Type its path to go on: ", settings.DataDir)
		var answer string
		if fmt.Fscanln(cmd.InOrStdin(), &answer); answer != settings.DataDir {
			return errors.New("Nothing was removed.")
		}
	}
	out := cmd.OutOrStdout()
	if err := errors.Join(seed.RemoveUnit(cmd.Context(), settings), seed.Stop(cmd.Context(), settings)); err != nil {
		return err
	}
	n := 0
	var errs []error
	for _, environ := range settings.EngineEnviron() { // one that fails does not keep the others from ending
		stopped, err := stopDynos(cmd.Context(), environ)
		if err != nil {
			errs = append(errs, fmt.Errorf("dynos: %w", err))
		}
		n += stopped
	}
	errs = append(errs, oci.ReleaseAddress(settings.Gateway()), oci.ReleaseNetwork(settings.DynoNetwork()))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !c.purge {
		fmt.Fprintf(out, "The platform and %s have stopped. Data stays in %s.\n", dynos(n), settings.DataDir)
		return nil
	}
	if err := seed.Purge(settings); err != nil {
		return err
	}
	fmt.Fprintf(out, "The platform, %s and all data in %s are gone.\n", dynos(n), settings.DataDir)
	return nil
}

func dynos(n int) string {
	if n == 1 {
		return "1 dyno"
	}
	return fmt.Sprintf("%d dynos", n)
}

// stopDynos ends what the runtime left running, and removes all that the
// containers had on this machine.
func stopDynos(ctx context.Context, environ []string) (int, error) {
	g := &ground{environ: environ}
	dir := filepath.Join(g.env("HOIST_DIR"), "engine")
	if _, err := os.Stat(dir); err != nil {
		return 0, nil // there never was a container
	}
	network, err := netip.ParsePrefix(g.env("HOIST_NETWORK"))
	if err != nil {
		return 0, err
	}
	engine, err := oci.New(oci.Config{Name: g.env("HOIST_ENGINE"), Dir: dir, Network: network,
		Runtime: g.env("HOIST_OCI_RUNTIME"), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return 0, err
	}
	list, err := engine.List(ctx)
	if err != nil {
		return 0, errors.Join(err, engine.Close())
	}
	for _, c := range list {
		if c.Running {
			engine.Signal(ctx, c.ID, int(syscall.SIGTERM))
		}
	}
	for deadline := time.Now().Add(dynosEnd); running(ctx, engine) && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	return len(list), engine.Teardown(ctx)
}

func running(ctx context.Context, engine hoist.Engine) bool {
	list, _ := engine.List(ctx)
	for _, c := range list {
		if c.Running {
			return true
		}
	}
	return false
}
