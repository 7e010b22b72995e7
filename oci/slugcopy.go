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

// copySlug makes the slug's copy, whose files belong to dynoUID. Its image has no name: it goes with its last user,
// whoever is killed. It is as large as a dyno's disk, since a few kilobytes of squashfs may be terabytes of files.
func (e *Engine) copySlug(ctx context.Context, m *slugMount, disk int64) error {
	m.copying.Lock()
	defer m.copying.Unlock()
	if m.isCopied {
		return nil
	}
	image := filepath.Join(e.dir, "slug-"+filepath.Base(m.dir)+".ext4")
	defer os.Remove(image)
	if err := makeExt4(image, diskSize(disk), "-i", "4096"); err != nil { // as many files as blocks
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
		err = copyOwned(ctx, m.dir, m.copied(), dynoUID)
	}
	if err != nil {
		unix.Unmount(m.copyMount(), unix.MNT_DETACH)
		return err
	}
	m.isCopied = true
	return nil
}

// copyOwned copies the tree from into the directory to and gives all of it to owner. We are root, and the tree is
// what somebody wrote byte by byte: what a directory says of the type of its entries is not believed, and
// nothing outside the two is touched.
func copyOwned(ctx context.Context, from, to string, owner int) error {
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
	for dirs := []string{"."}; len(dirs) > 0; {
		below, err := copyDir(ctx, src, dst, dirs[0], owner)
		if errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("oci: the files of the slug do not fit on a disk of the dyno's size: %w", err)
		} else if err != nil {
			return fmt.Errorf("oci: copy the slug: %w", err)
		}
		dirs = append(dirs[1:], below...)
	}
	return nil
}

// copyDir copies what is in the directory path, and returns the directories that it made for those there.
func copyDir(ctx context.Context, src, dst *os.Root, path string, owner int) (below []string, err error) {
	if len(path) >= unix.PathMax {
		return nil, unix.ENAMETOOLONG
	}
	from, err := src.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := dst.OpenRoot(path)
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
			isDir, err := copyEntry(ctx, from, to, name, owner)
			if err != nil {
				return nil, err
			}
			if isDir {
				below = append(below, filepath.Join(path, name))
			}
		}
	}
}

// copyEntry copies a file or a symbolic link, or makes a directory.
func copyEntry(ctx context.Context, from, to *os.Root, name string, owner int) (isDir bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
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
	return isDir, to.Lchown(name, owner, owner)
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
