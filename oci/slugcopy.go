package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Kernels before 6.2 cannot idmap a squashfs, but an ext4. There a slug is copied into one, which its
// containers share as they would the slug.

// copied is where the slug's copy is, once copySlug has been called.
func (m *slugMount) copied() string { return filepath.Join(m.copyMount(), "app") }

func (m *slugMount) copyMount() string { return m.dir + ".copy" }

// copyDisk is how many bytes the files of a slug's copy may take, which takes no more than they do.
const copyDisk = 4 << 30

// copyEntries bounds a slug's files and directories then, as those of a source are.
const copyEntries = 500_000

// copySlug makes the slug's copy, whose files belong to dynoUID. Its image has no name: it goes with its last user,
// whoever is killed. Its size is bounded, since a few kilobytes of squashfs may be terabytes of files, but not by that of a
// dyno's disk, of which a slug takes nothing.
func (e *Engine) copySlug(ctx context.Context, m *slugMount, disk int64) error {
	m.copying.Lock()
	defer m.copying.Unlock()
	if m.isCopied {
		return nil
	}
	image := filepath.Join(e.dir, "slug-"+filepath.Base(m.dir)+".ext4")
	defer os.Remove(image)
	size := max(diskSize(disk), e.copyDisk)
	if err := makeExt4(image, size, "-i", "4096"); err != nil { // as many files as blocks
		return err
	}
	if err := os.MkdirAll(m.copyMount(), 0o755); err != nil {
		return err
	}
	if err := mountImage(image, m.copyMount(), "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "nobarrier,noinit_itable"); err != nil {
		return err
	}
	err := errors.Join(os.Mkdir(m.copied(), 0o755), os.Chown(m.copied(), dynoUID, dynoUID))
	if err == nil {
		err = copyOwned(ctx, m.dir, m.copied(), dynoUID, size)
	}
	if err != nil {
		unix.Unmount(m.copyMount(), unix.MNT_DETACH)
		return err
	}
	m.isCopied = true
	return nil
}

// copyOwned copies the tree from into the directory to, on a disk of size bytes, and gives all of it to owner. We
// are root, and the tree is what somebody wrote byte by byte: what a directory says of the type of its entries is not
// believed, and nothing outside the two is touched.
func copyOwned(ctx context.Context, from, to string, owner int, size int64) error {
	src, err := os.OpenRoot(from)
	if err != nil {
		return fmt.Errorf("oci: copy the slug: %w", err)
	}
	defer src.Close()
	dst, err := os.OpenRoot(to)
	if err != nil {
		return fmt.Errorf("oci: copy the slug: %w", err)
	}
	defer dst.Close()
	err = (&treeCopy{src: src, dst: dst, owner: owner, left: copyEntries}).copy(ctx)
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("oci: the files of the slug do not fit on the disk of %d MiB that they are copied to: %w", size>>20, err)
	} else if err != nil {
		return fmt.Errorf("oci: copy the slug: %w", err)
	}
	return nil
}

// treeCopy copies a tree, depth first.
type treeCopy struct {
	src, dst *os.Root
	owner    int
	left     int // entries that may still be copied
}

// subdirs are directories in one that is called path: names only, since there may be many below a long path.
type subdirs struct {
	path  string
	names []string
}

func (t *treeCopy) copy(ctx context.Context) error {
	for todo := []subdirs{{"", []string{"."}}}; len(todo) > 0; {
		last := &todo[len(todo)-1]
		n := len(last.names) - 1
		if n < 0 {
			todo = todo[:len(todo)-1]
			continue
		}
		path := filepath.Join(last.path, last.names[n])
		last.names = last.names[:n]
		names, err := t.copyDir(ctx, path)
		if err != nil {
			return err
		}
		todo = append(todo, subdirs{path, names})
	}
	return nil
}

// copyDir copies what is in the directory path, and returns the names of the directories that it made for those there.
func (t *treeCopy) copyDir(ctx context.Context, path string) (below []string, err error) {
	if len(path) >= unix.PathMax {
		return nil, unix.ENAMETOOLONG
	}
	from, err := t.src.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := t.dst.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	dir, err := from.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(100)
		if errors.Is(err, io.EOF) {
			return below, nil
		} else if err != nil {
			return nil, err
		}
		for _, name := range names {
			isDir, err := t.copyEntry(ctx, from, to, name)
			if err != nil {
				return nil, err
			}
			if isDir {
				below = append(below, name)
			}
		}
	}
}

// copyEntry copies a file or a symbolic link, or makes a directory.
func (t *treeCopy) copyEntry(ctx context.Context, from, to *os.Root, name string) (isDir bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if t.left--; t.left < 0 {
		return false, fmt.Errorf("it has more than %d files and directories", copyEntries)
	}
	info, err := from.Lstat(name)
	if err != nil {
		return false, err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		isDir, err = true, to.Mkdir(name, info.Mode().Perm())
	case fs.ModeSymlink:
		var link string
		if link, err = from.Readlink(name); err == nil {
			err = to.Symlink(link, name)
		}
	case 0:
		err = copyFile(from, to, name, info.Mode().Perm())
	default:
		return false, nil // devices and sockets have no business in a slug
	}
	if err != nil {
		return false, err
	}
	return isDir, to.Lchown(name, t.owner, t.owner)
}

func copyFile(from, to *os.Root, name string, mode fs.FileMode) error {
	src, err := from.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
