package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
)

// Place is where a backup is kept: a file, "-" for the standard streams, or
// s3://BUCKET/KEY.
type Place struct {
	name   string
	object *blob.Object // nil for a file
}

// ParsePlace reads the name of a place; env is asked for S3's usual variables.
func ParsePlace(name string, env func(string) string) (Place, error) {
	p := Place{name: name}
	var err error
	switch {
	case strings.HasPrefix(name, "s3://"):
		p.object, err = blob.OpenObject(name, env)
	case strings.Contains(name, "://"):
		err = fmt.Errorf("%q: a backup is kept in a file or in s3://BUCKET/KEY", name)
	}
	return p, err
}

// String is the place as a person named it.
func (p Place) String() string { return p.name }

// Standard reports whether the place is a standard stream.
func (p Place) Standard() bool { return p.name == "-" }

// Create calls write, and only if that returns nil is there a backup,
// in place of the one there was.
func (p Place) Create(ctx context.Context, write func(io.Writer) error) error {
	switch {
	case p.Standard():
		return write(os.Stdout)
	case p.object == nil:
		return createFile(p.name, write)
	}
	r, w := io.Pipe()
	put := make(chan error, 1)
	go func() {
		err := p.object.Put(ctx, r)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		put <- err
	}()
	failed := write(w)
	w.CloseWithError(failed) // nil is io.EOF
	if err := <-put; failed == nil || errors.Is(failed, io.ErrClosedPipe) {
		return err
	}
	return failed
}

func createFile(name string, write func(io.Writer) error) (err error) {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("%s is there and is no file", name)
	}
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if !holds(f) {
		return fmt.Errorf("Another backup to %s is under way.", name)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := f.Truncate(0); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return hoist.SyncDir(filepath.Dir(name))
}

// holds takes a file for ourselves; it must not have become somebody's backup
// since it was opened.
func holds(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	ours, err := f.Stat()
	there, e := os.Stat(f.Name())
	return err == nil && e == nil && os.SameFile(ours, there)
}

// Open opens the backup to be read.
func (p Place) Open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case p.Standard():
		return os.Stdin, nil
	case p.object == nil:
		return os.Open(p.name)
	}
	return p.object.Get(ctx)
}
