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
// dir, which it makes. It refuses names and links that lead out of dir,
// devices, and more than the limits allow. Symbolic links to absolute paths
// are kept, as they name something in the dyno; nothing is ever written
// through one. After an error, dir holds what came before it.
func Extract(r io.Reader, dir string, limits Limits) error {
	plain, err := decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := extractor{root: root, limits: limits}
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("not a complete tar archive: %w", err)
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
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.dir(name, h)
	case tar.TypeReg:
		return x.file(name, h, body)
	case tar.TypeSymlink:
		if !path.IsAbs(h.Linkname) && climbs(path.Join(path.Dir(name), h.Linkname)) {
			return fmt.Errorf("the archive has a link out of itself: %.200q to %.200q", h.Name, h.Linkname)
		}
		if err := x.replace(name); err != nil {
			return err
		}
		return x.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		if path.IsAbs(h.Linkname) || climbs(h.Linkname) {
			return fmt.Errorf("the archive has a link out of itself: %.200q to %.200q", h.Name, h.Linkname)
		}
		if path.Clean(h.Linkname) == name {
			return fmt.Errorf("the archive has a link to itself: %.200q", h.Name)
		}
		if err := x.replace(name); err != nil {
			return err
		}
		return x.root.Link(path.Clean(h.Linkname), name)
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

func (x *extractor) dir(name string, h *tar.Header) error {
	if err := x.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if st, err := x.root.Lstat(name); err != nil {
		return err
	} else if !st.IsDir() {
		return fmt.Errorf("the archive has both a file and a directory %.200q", h.Name)
	}
	return x.root.Chmod(name, permissions(h)|0o700)
}

func (x *extractor) file(name string, h *tar.Header, body io.Reader) error {
	if err := x.replace(name); err != nil {
		return err
	}
	f, err := x.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	left := x.limits.Size - x.size
	n, err := io.Copy(f, io.LimitReader(body, left+1))
	if err != nil {
		return fmt.Errorf("not a complete tar archive: %w", err)
	}
	if x.size += n; n > left {
		return fmt.Errorf("the archive unpacks to more than %d MB", x.limits.Size>>20)
	}
	if err := f.Chmod(permissions(h)); err != nil {
		return err
	}
	if h.ModTime.After(time.Unix(0, 0)) && h.ModTime.Before(time.Unix(1<<33, 0)) {
		x.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	return f.Close()
}

// replace makes room for a name that came before.
func (x *extractor) replace(name string) error {
	if err := x.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
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
