// Package archive packs and unpacks the tar archives that sources, caches and
// buildpacks travel in. Those come from users: nothing in one is trusted.
package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Limits bound what an archive may unpack to.
type Limits struct {
	Size  int64 // bytes of all files together
	Files int   // entries
}

// padding is how many bytes may follow the end of an archive.
const padding = 1 << 20

// Extract unpacks a tar archive, plain or compressed with gzip or zstd, into
// dir, which it makes. It refuses names and hard links that lead out of dir,
// devices, and more than the limits allow. Symbolic links are kept, wherever they
// lead: to something in the dyno, or in a directory above the one that was pushed.
// Nothing is ever written outside of dir through one. After an error, dir holds what came
// before it, and may be part of a file.
func Extract(r io.Reader, dir string, limits Limits) error {
	_, err := ExtractSnapshot(r, dir, limits)
	return err
}

// ExtractSnapshot is Extract, and returns what dir holds then if it was empty.
func ExtractSnapshot(r io.Reader, dir string, limits Limits) (Snapshot, error) {
	x := extractor{limits: limits, held: Snapshot{}}
	return x.held, x.extract(r, dir)
}

func (x *extractor) extract(r io.Reader, dir string) error {
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if x.root, err = os.OpenRoot(dir); err != nil {
		return err
	}
	defer x.root.Close()
	defer x.leave()
	tr := tar.NewReader(plain)
	for first := true; ; first = false {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("not a complete tar archive: %w", err)
		}
		if first && x.base != "" && (h.Typeflag != tar.TypeXGlobalHeader || h.PAXRecords[baseRecord] != x.base) {
			return ErrOtherBase
		}
		if err := x.entry(h, tr); err != nil {
			return err
		}
	}
	// Reading on to the end is what verifies the checksum of the compression.
	n, err := io.Copy(io.Discard, io.LimitReader(plain, padding))
	if err == nil && n == padding {
		err = errors.New("data after the end")
	}
	if err != nil {
		return fmt.Errorf("not a complete tar archive: %w", err)
	}
	return nil
}

func decompress(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	magic, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(magic) == 0:
		return nil, errors.New("the archive is empty")
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(br)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(br, zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}

type extractor struct {
	root   *os.Root
	limits Limits
	size   int64
	files  int
	base   string   // that the archive holds the changes of; else empty
	held   Snapshot // what is there

	in      *os.Root // the directory that was written to last
	inName  string
	copying [128 << 10]byte
}

func (x *extractor) entry(h *tar.Header, body io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // git archive's: the commit
	}
	if x.files++; x.files > x.limits.Files {
		return fmt.Errorf("the archive has more than %d files", x.limits.Files)
	}
	if path.IsAbs(h.Name) || climbs(h.Name) {
		return fmt.Errorf("the archive has a file outside of itself: %.200q", h.Name)
	}
	name := path.Clean(h.Name)
	if name == "." {
		return nil
	}
	dir, err := x.enter(path.Dir(name))
	if err != nil {
		return err
	}
	if x.base != "" && h.PAXRecords[changeRecord] != "" {
		return x.change(dir, name, h)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.dir(dir, name, h)
	case tar.TypeReg:
		return x.file(dir, name, h, body)
	case tar.TypeSymlink:
		if err := replace(dir, name); err != nil {
			return err
		}
		x.held[name] = linkState(h.Linkname)
		return dir.Symlink(h.Linkname, path.Base(name))
	case tar.TypeLink:
		if path.IsAbs(h.Linkname) || climbs(h.Linkname) {
			return fmt.Errorf("the archive has a link out of itself: %.200q to %.200q", h.Name, h.Linkname)
		}
		target := path.Clean(h.Linkname)
		if target == name {
			return fmt.Errorf("the archive has a link to itself: %.200q", h.Name)
		}
		if err := replace(dir, name); err != nil {
			return err
		}
		x.held[name] = x.held[target]
		return x.root.Link(target, name)
	}
	return fmt.Errorf("the archive has a device or another special file: %.200q", h.Name)
}

// climbs reports whether a slash-separated path has a ".." that it keeps.
func climbs(name string) bool {
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// enter opens a directory, which it makes. Most entries are in that of the one
// before: finding it each time, safely, takes longer than writing a small file.
func (x *extractor) enter(name string) (*os.Root, error) {
	if x.in != nil && x.inName == name {
		return x.in, nil
	}
	x.leave()
	if err := x.root.MkdirAll(name, 0o755); err != nil {
		return nil, err
	}
	dir, err := x.root.OpenRoot(name)
	if err == nil {
		x.in, x.inName = dir, name
	}
	return dir, err
}

func (x *extractor) leave() {
	if x.in != nil {
		x.in.Close()
		x.in = nil
	}
}

func (x *extractor) dir(parent *os.Root, name string, h *tar.Header) error {
	base := path.Base(name)
	if err := parent.Mkdir(base, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if st, err := parent.Lstat(base); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("the archive has both a file and a directory %.200q", h.Name)
	}
	mode := permissions(h) | 0o700
	x.held[name] = state{mode: fs.ModeDir | mode}
	return parent.Chmod(base, mode)
}

func (x *extractor) file(dir *os.Root, name string, h *tar.Header, body io.Reader) error {
	if err := replace(dir, name); err != nil {
		return err
	}
	base := path.Base(name)
	f, err := dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	left := x.limits.Size - x.size
	sum := newSum()
	// Both wrapped, or each file would be copied through a new buffer of its own.
	n, err := io.CopyBuffer(io.MultiWriter(f, sum), io.LimitReader(body, left+1), x.copying[:])
	if err != nil {
		return fmt.Errorf("not a complete tar archive: %w", err)
	}
	if x.size += n; n > left {
		return fmt.Errorf("the archive unpacks to more than %d MB", x.limits.Size>>20)
	}
	if err := f.Chmod(permissions(h)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	touch(dir, base, h)
	info, err := dir.Lstat(base)
	if err != nil {
		return err
	}
	x.held[name] = fileState(info, sum)
	return nil
}

// touch sets a file's time, if the archive's is one that file systems know.
func touch(dir *os.Root, base string, h *tar.Header) {
	if h.ModTime.After(time.Unix(0, 0)) && h.ModTime.Before(time.Unix(1<<33, 0)) {
		dir.Chtimes(base, h.ModTime, h.ModTime)
	}
}

// replace makes room for a name that came before.
func replace(dir *os.Root, name string) error {
	if err := dir.Remove(path.Base(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Root returns the one directory that is all dir holds, as in the tarballs of
// code hosts, or else dir itself.
func Root(dir string) (string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(list) == 1 && list[0].IsDir() {
		return filepath.Join(dir, list[0].Name()), nil
	}
	return dir, nil
}

// permissions are those of an entry without write access for others, as under
// the usual umask: git archive and GNU tar write different ones for one commit.
func permissions(h *tar.Header) fs.FileMode { return h.FileInfo().Mode().Perm() &^ 0o022 }
