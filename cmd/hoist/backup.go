package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/backup"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

func init() {
	commands = append(commands, (&backupCommand{}).command(), (&restoreCommand{}).command())
}

// keyFlags are how a backup's key is given.
type keyFlags struct {
	file string
	json bool
}

func (f *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "key-file", "k", "", "`FILE` with the key: age keys, or a passphrase; - is standard input")
	cmd.Flags().BoolVar(&f.json, "json", false, "say what was done as JSON")
}

func (f *keyFlags) key(stdin io.Reader) (*backup.Key, error) {
	var text []byte
	var err error
	switch f.file {
	case "":
		return nil, errors.New("A backup holds all secrets of the platform and is always encrypted. Name the key's file with --key-file; `hoist backup … --key-file FILE --new-key` makes one.")
	case "-":
		text, err = io.ReadAll(io.LimitReader(stdin, 1<<20))
	default:
		text, err = os.ReadFile(f.file)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := backup.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", f.file, err)
	}
	return key, nil
}

type backupCommand struct {
	seedFlags
	keyFlags
	newKey bool
}

func (c *backupCommand) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup FILE|s3://BUCKET/KEY", Short: "Write the whole platform into one encrypted file", GroupID: "platform",
		Long: `Write the whole platform into one encrypted file, while it runs: accounts, keys,
tokens, apps, config, releases, repositories, slugs, certificates and the SSH
host key, all as of one moment. Builds under way, build caches and logs are left out.

FILE may be -, for standard output. S3 is told by AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL.`,
		Example: "$ hoist backup /srv/backup/hoist.backup --key-file /root/hoist.key --new-key\n$ hoist backup s3://backups/hoist-$(date +%F) --key-file /root/hoist.key",
		Args:    cobra.ExactArgs(1), RunE: c.run,
	}
	c.seedFlags.add(cmd, false)
	c.keyFlags.add(cmd)
	cmd.Flags().BoolVar(&c.newKey, "new-key", false, "make the key's file first, if it is not there")
	return cmd
}

func (c *backupCommand) run(cmd *cobra.Command, args []string) error {
	settings, err := c.saved()
	if err != nil {
		return err
	}
	place, err := backup.ParsePlace(args[0], os.Getenv)
	if err != nil {
		return err
	}
	if c.newKey && c.file != "" {
		if err := c.makeKey(cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	key, err := c.key(cmd.InOrStdin())
	if err != nil {
		return err
	}
	source, done, err := openSource(cmd.Context(), settings)
	if err != nil {
		return err
	}
	defer done()
	show := newProgress(cmd.ErrOrStderr())
	source.Progress = show.report
	begun := time.Now()
	var sum backup.Summary
	err = place.Create(cmd.Context(), func(w io.Writer) (err error) {
		sum, err = source.Write(cmd.Context(), w, key)
		return err
	})
	show.end()
	if err != nil {
		return fmt.Errorf("No backup was made: %w", err)
	}
	out := cmd.OutOrStdout()
	if place.Standard() {
		out = cmd.ErrOrStderr()
	}
	if err := c.say(out, "Backed up", "to "+place.String(), sum, time.Since(begun)); err != nil {
		return err
	}
	return damaged(sum)
}

// makeKey makes the key's file, unless it is there.
func (c *backupCommand) makeKey(errs io.Writer) error {
	if c.file == "-" {
		return errors.New("--new-key makes a file: name it with --key-file.")
	}
	text, err := backup.NewKey(time.Now())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--new-key: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close(), hoist.SyncDir(filepath.Dir(c.file))); err != nil {
		return err
	}
	fmt.Fprintf(errs, "Made the key %s. Keep a copy away from this machine: nobody can open the backup without it.\n", c.file)
	return nil
}

// openSource opens what a backup is made of, as the platform's owner.
func openSource(ctx context.Context, s seed.Settings) (source backup.Source, done func(), err error) {
	url, err := seed.OwnerURL(s)
	if err != nil {
		return source, nil, err
	}
	environ, err := seed.EnvironOf(s.DataDir, hoist.ComponentAPI)
	if err != nil {
		return source, nil, err
	}
	source = backup.Source{Version: version(), Domain: s.Domain, Now: time.Now}
	if source.Blobs, err = blob.Open((&ground{environ: environ}).env("BLOB_URL")); err != nil {
		return source, nil, err
	}
	files, err := seed.KeptFiles(s)
	if err != nil {
		return source, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		source.Files = append(source.Files, backup.File{Name: name, Content: files[name]})
	}
	db, err := postgres.Open(ctx, url)
	if err != nil {
		return source, nil, err
	}
	source.DB = db
	if err := awaitDatabase(ctx, db, s); err != nil {
		db.Close()
		return source, nil, err
	}
	return source, db.Close, nil
}

// databaseWithin is how long a backup waits for the database, as the seed may be
// starting or being replaced.
const databaseWithin = 10 * time.Second

func awaitDatabase(ctx context.Context, db *postgres.DB, s seed.Settings) error {
	for begun := time.Now(); ; {
		err := db.Ping(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case time.Since(begun) < databaseWithin:
			time.Sleep(200 * time.Millisecond)
		case s.DatabaseURL == "" && !seed.Running(s):
			return fmt.Errorf("The platform in %s does not run, so its database cannot be read. Start it first: hoist seed --daemon --data %s", s.DataDir, s.DataDir)
		default:
			return fmt.Errorf("The database does not answer: %w", err)
		}
	}
}

// say tells what a backup holds.
func (f *keyFlags) say(out io.Writer, verb, where string, sum backup.Summary, took time.Duration) error {
	if f.json {
		return printJSON(out, struct {
			backup.Summary
			Seconds float64 `json:"seconds"`
		}{sum, took.Seconds()})
	}
	_, err := fmt.Fprintf(out, "%s %s of %s, as of %s, %s: %s, %s (%s stored), in %.1f s.\n", verb, count(sum.Apps, "app"), sum.Domain,
		sum.CreatedAt.Local().Format(time.DateTime), where, count(sum.Blobs, "blob"), bytesText(sum.Bytes), bytesText(sum.Stored), took.Seconds())
	return err
}

// damaged is the error of a backup that has all but some blobs.
func damaged(sum backup.Summary) error {
	if len(sum.Damaged) == 0 {
		return nil
	}
	text := fmt.Sprintf("All else is in the backup, but %s of the platform missing or damaged when it was made; what needs that cannot run:", count(len(sum.Damaged), "blob"))
	for _, d := range sum.Damaged[:min(len(sum.Damaged), 10)] {
		text += "\n" + d.Key + ": " + d.Why
	}
	return errors.New(text)
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
