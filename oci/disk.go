package oci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A dyno's disk is a sparse ext4 image of its own: what fills it gets ENOSPC and
// nobody else does, on any file system that has holes. Project quotas would
// save the loop device, but need a file system that was made and mounted for
// them. The images have no journal, since no disk outlives its dyno, and are copies
// of one template per size: about 150 kB written instead of a mkfs.

const (
	minDisk     = 16 << 20
	defaultDisk = 1 << 30
)

// diskSize is how many bytes a disk has for which somebody asked for size, or did not.
func diskSize(size int64) int64 {
	if size <= 0 {
		size = defaultDisk
	}
	return max(size, minDisk) &^ (1<<20 - 1)
}

// makeDisk creates the image path with the given size in bytes.
func (e *Engine) makeDisk(path string, size int64) error {
	template, err := e.diskTemplate(diskSize(size))
	if err != nil {
		return err
	}
	if err := copySparse(template, path); err != nil {
		return fmt.Errorf("oci: make the dyno's disk: %w", err)
	}
	return nil
}

func (e *Engine) diskTemplate(size int64) (string, error) {
	e.templates.Lock()
	defer e.templates.Unlock()
	path := filepath.Join(e.dir, "templates", strconv.FormatInt(size>>20, 10)+"M.ext4")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	tmp := path + ".new"
	if err := makeExt4(tmp, size); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}

// makeExt4 makes a sparse file that is an ext4 without a journal.
func makeExt4(path string, size int64, options ...string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := os.Truncate(path, size); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	args := append([]string{"-q", "-F", "-m", "0", "-b", "4096", "-O", "^has_journal,^resize_inode,^metadata_csum,uninit_bg",
		"-E", "lazy_itable_init=1,packed_meta_blocks=1,nodiscard"}, options...)
	if out, err := exec.Command("mkfs.ext4", append(args, path)...).CombinedOutput(); err != nil {
		return fmt.Errorf("oci: mkfs.ext4 (package e2fsprogs): %w: %s", err, out)
	}
	return nil
}

// copySparse copies the data of a file and keeps its holes.
func copySparse(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer dst.Close()
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return nil // btrfs, xfs
	}
	if err := dst.Truncate(st.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		} else if err != nil {
			return err
		}
		hole, err := unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
}

// diskFull reports whether an image that is not mounted any more has no blocks
// free but those that ext4 keeps for itself: 2 %, 4096 at most
// (https://docs.kernel.org/filesystems/ext4/globals.html#super-block).
func diskFull(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var sb [1024]byte
	if _, err := f.ReadAt(sb[:], 1024); err != nil {
		return false
	}
	blocks := uint64(binary.LittleEndian.Uint32(sb[0x04:])) | uint64(binary.LittleEndian.Uint32(sb[0x150:]))<<32
	free := uint64(binary.LittleEndian.Uint32(sb[0x0c:])) | uint64(binary.LittleEndian.Uint32(sb[0x158:]))<<32
	return free < min(blocks/50, 4096)+64
}
