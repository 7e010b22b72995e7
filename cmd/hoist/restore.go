package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hoist-sh/hoist/backup"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

type restoreCommand struct {
	seedFlags
	keyFlags
	noStart, check bool
}

func (c *restoreCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE|s3://BUCKET/KEY", Short: "Bring a platform back from a backup, on this machine", GroupID: "platform",
		Long: `Bring a platform back from a backup, on a machine that has none, and start it. Ports,
directories and the ground are those of this machine's settings; the domain and the
like are the backup's, unless the settings say otherwise. Nothing is changed unless
all of the backup is as it was written.`,
		Example: "$ hoist restore /srv/backup/hoist.backup --key-file /root/hoist.key\n$ hoist restore s3://backups/hoist-2026-01-31 --key-file /root/hoist.key --check",
		Args:    cobra.ExactArgs(1), RunE: c.run,
	}
	c.seedFlags.add(cmd, true)
	c.keyFlags.add(cmd)
	cmd.Flags().BoolVar(&c.noStart, "no-start", false, "do not start the platform then")
	cmd.Flags().BoolVar(&c.check, "check", false, "only read the whole backup, and say what it holds")
	return cmd
}

func (c *restoreCommand) run(cmd *cobra.Command, args []string) error {
	place, err := backup.ParsePlace(args[0], os.Getenv)
	if err != nil {
		return err
	}
	if place.Standard() && c.file == "-" {
		return errors.New("The backup and its key cannot both come from standard input.")
	}
	key, err := c.key(cmd.InOrStdin())
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	from, err := place.Open(ctx)
	if err != nil {
		return err
	}
	defer from.Close()
	reader, err := backup.NewReader(from, key)
	if err != nil {
		return err
	}
	defer reader.Close()
	show := newProgress(cmd.ErrOrStderr())
	begun := time.Now()
	if c.check {
		sum, err := backup.Check(ctx, reader, show.report)
		show.end()
		if err != nil {
			return err
		}
		return errors.Join(c.say(cmd.OutOrStdout(), "The backup is whole. It holds", "in "+place.String(), sum, time.Since(begun)), damaged(sum))
	}
	settings, err := c.wanted()
	if err != nil {
		return err
	}
	sum, err := c.restore(ctx, settings, reader, show)
	show.end()
	if err != nil {
		return err
	}
	if err := c.say(cmd.OutOrStdout(), "Restored", "in "+settings.DataDir, sum, time.Since(begun)); err != nil {
		return err
	}
	if !c.noStart {
		if err := c.start(cmd); err != nil {
			return fmt.Errorf("Everything was restored, but the platform does not start: %w\nWhen that is mended, start it: hoist seed --daemon", err)
		}
	}
	return damaged(sum)
}

func (c *restoreCommand) restore(ctx context.Context, s seed.Settings, r *backup.Reader, show *progress) (sum backup.Summary, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	show.report("making the data directory", 0, 0)
	err = seed.Restore(ctx, s, log, func(ctx context.Context, fresh seed.Fresh) error {
		target := backup.Target{DB: fresh.DB, Blobs: fresh.Blobs, Progress: show.report,
			SaveFile: func(f backup.File) error { return fresh.SaveFile(f.Name, f.Content) }}
		sum, err = target.Restore(ctx, r)
		return err
	})
	switch {
	case errors.Is(err, postgres.ErrNotEmpty):
		return sum, errors.New("Nothing was restored: the database of DATABASE_URL holds a platform already. Name an empty one.")
	case err != nil:
		return sum, fmt.Errorf("Nothing was restored. %w", err)
	}
	return sum, nil
}

// start starts the platform with the settings we were given.
func (c *restoreCommand) start(cmd *cobra.Command) error {
	settings, err := c.wanted() // now with what was restored
	if err != nil {
		return err
	}
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
	err = seed.Daemon(ctx, settings, binary, args, func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), "      ", what) })
	if err != nil {
		return err
	}
	if !c.json {
		fmt.Fprintf(cmd.OutOrStdout(), "The platform runs at %s.\n", settings.Public().API())
	}
	return nil
}
