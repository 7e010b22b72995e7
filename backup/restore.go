package backup

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// Target is where a backup is restored: an empty database and blob store.
type Target struct {
	DB interface {
		// Load fills the database at once, if f returns nil, or not at all.
		Load(ctx context.Context, schema int, f func(*postgres.Loading) error) error
	}
	Blobs    hoist.Blobs
	SaveFile func(File) error
	Progress Progress
}

// rows is where a table's rows go.
type rows interface {
	Rows(ctx context.Context, t postgres.Table, r io.Reader) error
}

// Restore loads a backup. The database is filled only if all of the backup is as it
// was written; files and blobs may have been stored before that is known.
func (t Target) Restore(ctx context.Context, r *Reader) (Summary, error) {
	var sum Summary
	err := t.DB.Load(ctx, r.Header.Schema, func(l *postgres.Loading) (err error) {
		sum, err = t.entries(ctx, r, l)
		return err
	})
	return sum, err
}

// Check reads a whole backup and says what it holds.
func Check(ctx context.Context, r *Reader, progress Progress) (Summary, error) {
	return Target{Blobs: nowhere{}, SaveFile: func(File) error { return nil }, Progress: progress}.entries(ctx, r, nowhere{})
}

func (t Target) entries(ctx context.Context, r *Reader, to rows) (Summary, error) {
	h := r.Header
	sum := Summary{CreatedAt: h.CreatedAt, Domain: h.Domain, Version: h.Version, Apps: h.Apps}
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		name, size, err := r.Next()
		if err == io.EOF {
			sum.Damaged, sum.Stored = r.Damaged, r.Stored()
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		sum.Bytes += size
		kind, rest, _ := strings.Cut(name, "/")
		switch kind + "/" {
		case filePrefix:
			content, err := r.bytes(fileLimit)
			if err != nil {
				return sum, err
			}
			if err := t.SaveFile(File{rest, content}); err != nil {
				return sum, err
			}
			sum.Files++
		case tablePrefix:
			table, _, _ := strings.Cut(rest, "/")
			i := slices.IndexFunc(h.Tables, func(t postgres.Table) bool { return t.Name == table })
			if i < 0 {
				return sum, r.fail(fmt.Errorf("rows of an unknown table %q", table))
			}
			t.Progress("database, "+table, 0, 0)
			if err := whole(r, to.Rows(ctx, h.Tables[i], r)); err != nil {
				return sum, err
			}
		case blobPrefix:
			t.Progress("slugs and repositories", done, h.Size)
			if err := whole(r, t.Blobs.Put(ctx, rest, r, size, size)); err != nil {
				return sum, err
			}
			sum.Blobs++
			done += size
		default:
			return sum, r.fail(fmt.Errorf("an unknown entry %q", name))
		}
	}
}

// whole prefers why the backup could not be read to what became of that elsewhere.
func whole(r *Reader, err error) error {
	if err != nil && r.err != nil {
		return r.err
	}
	return err
}

// nowhere takes what is only read.
type nowhere struct{ hoist.Blobs }

func (nowhere) Put(_ context.Context, _ string, r io.Reader, _, _ int64) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (nowhere) Rows(_ context.Context, _ postgres.Table, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
