package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernels before 6.2 cannot idmap a squashfs, but an ext4. There a slug is copied into one, which its
// containers share as they would the slug.

// copied is where the slug's copy is, once copySlug has been called.
func (m *slugMount) copied() string { return filepath.Join(m.copyMount(), "app") }

func (m *slugMount) copyMount() string { return m.dir + ".copy" }

// copySlug makes the slug's copy, whose files belong to dynoUID. Its image has no name: it goes with its last user,
// whoever is killed.
func (e *Engine) copySlug(m *slugMount) error {
	m.copying.Lock()
	defer m.copying.Unlock()
	if m.isCopied {
		return nil
	}
	image := filepath.Join(e.dir, "slug-"+filepath.Base(m.dir)+".ext4")
	defer os.Remove(image)
	size, files, err := treeSize(m.dir)
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	// 256 bytes for each inode, blocks that map blocks, a directory's own, the file system's.
	if err := makeExt4(image, size+size/50+files*512+8<<20, "-N", strconv.FormatInt(files+64, 10)); err != nil {
		return err
	}
	if err := os.MkdirAll(m.copyMount(), 0o755); err != nil {
		return err
	}
	if err := mountImage(image, m.copyMount(), "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "nobarrier,noinit_itable"); err != nil {
		return err
	}
	err = errors.Join(os.Mkdir(m.copied(), 0o755), os.Chown(m.copied(), dynoUID, dynoUID))
	if err == nil {
		err = copyOwned(m.dir, m.copied(), dynoUID)
	}
	if err != nil {
		unix.Unmount(m.copyMount(), unix.MNT_DETACH)
		return fmt.Errorf("oci: copy the slug: %w", err)
	}
	m.isCopied = true
	return nil
}

// treeSize is what the files below dir take, in bytes of whole blocks of 4096, and how many there are.
func treeSize(dir string) (size, files int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		size += (info.Size() + 4095) &^ 4095
		if d.IsDir() {
			size += 4096 + info.Size() // ext4's take more than squashfs says
		}
		return nil
	})
	return size, files, err
}

// copyOwned copies the tree from into the directory to and gives all of it to owner.
func copyOwned(from, to string, owner int) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if path == from {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			err = os.Mkdir(target, info.Mode().Perm())
		case fs.ModeSymlink:
			var link string
			if link, err = os.Readlink(path); err == nil {
				err = os.Symlink(link, target)
			}
		case 0:
			err = copyFile(path, target, info.Mode().Perm())
		default:
			return nil // devices and sockets have no business in a slug
		}
		if err != nil {
			return err
		}
		return os.Lchown(target, owner, owner)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
