package blob

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hoist-sh/hoist"
)

// ErrFull is the error of a store without room.
var ErrFull = &hoist.Error{ID: "insufficient_storage", Status: http.StatusInsufficientStorage,
	Message: "The blob store's disk is full; free some space on it."}

func tooLarge(limit int64) error {
	return &hoist.Error{ID: "too_large", Status: http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("More than the %d bytes allowed.", limit)}
}

// Files keeps blobs as files below a directory. A blob's file is its content
// and a trailer with its length and SHA-256, so that both change at once. Its
// name ends in "@", which no key holds: so "a" and "a/b" may both be keys.
type Files struct {
	dir string
}

// A trailer is magic, length (8 bytes, big endian) and SHA-256.
const (
	magic       = "hoistblb"
	trailerSize = len(magic) + 8 + sha256.Size
)

// NewFiles opens the store in dir, made if missing. No other process may use
// it: what uploads were broken off is removed.
func NewFiles(dir string) (*Files, error) {
	f := &Files{dir: dir}
	if err := os.RemoveAll(f.tmp()); err != nil {
		return nil, err
	}
	for _, d := range []string{f.tmp(), f.root()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Files) root() string { return filepath.Join(f.dir, "blobs") }
func (f *Files) tmp() string  { return filepath.Join(f.dir, "tmp") }

func (f *Files) path(key string) string { return filepath.Join(f.root(), filepath.FromSlash(key)+"@") }

// put stores r under key, at most limit bytes, and returns its SHA-256.
func (f *Files) put(key string, r io.Reader, size, limit int64) (sum []byte, err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if size > limit {
		return nil, tooLarge(limit)
	}
	defer func() {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = ErrFull
		}
	}()
	tmp, err := os.CreateTemp(f.tmp(), "put")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name()) // fails after the rename
	defer tmp.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, hash), &limitedReader{r: r, left: limit, limit: limit})
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, hoist.Invalid("the upload broke off after %d bytes", n)
	case err != nil:
		return nil, err
	case size >= 0 && n != size:
		return nil, hoist.Invalid("%d bytes came, %d were announced", n, size)
	}
	sum = hash.Sum(nil)
	trailer := binary.BigEndian.AppendUint64([]byte(magic), uint64(n))
	if _, err := tmp.Write(append(trailer, sum...)); err != nil {
		return nil, err
	}
	if err := tmp.Sync(); err != nil {
		return nil, err
	}
	for range 10 {
		// A Delete beside us may remove the directory again.
		if err = f.makeDir(path.Dir(key)); err != nil {
			return nil, err
		}
		if err = os.Rename(tmp.Name(), f.path(key)); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return sum, syncDir(filepath.Dir(f.path(key)))
}

// makeDir makes the directory of keys, so that it outlives a power cut.
func (f *Files) makeDir(dir string) error {
	p := filepath.Join(f.root(), filepath.FromSlash(dir))
	if _, err := os.Stat(p); err == nil || dir == "." {
		return err
	}
	if err := f.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(p, 0o700); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(p))
}

func syncDir(dir string) error {
	if err := hoist.SyncDir(dir); !errors.Is(err, fs.ErrNotExist) { // removed beside us
		return err
	}
	return nil
}

// file is an open blob.
type file struct {
	*os.File
	info hoist.BlobInfo
	sum  []byte
	ino  uint64
}

// open opens a blob. Its content is not verified yet.
func (f *Files) open(key string) (*file, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	osf, err := os.Open(f.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hoist.NotFound("blob")
	} else if err != nil {
		return nil, err
	}
	b, err := readTrailer(osf, key)
	if err != nil {
		osf.Close()
		return nil, err
	}
	return b, nil
}

func readTrailer(f *os.File, key string) (*file, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, trailerSize)
	size := st.Size() - int64(trailerSize)
	if size < 0 {
		return nil, hoist.ErrCorrupt
	}
	if _, err := f.ReadAt(trailer, size); err != nil {
		return nil, err
	}
	if string(trailer[:len(magic)]) != magic || binary.BigEndian.Uint64(trailer[len(magic):]) != uint64(size) {
		return nil, hoist.ErrCorrupt
	}
	return &file{File: f, sum: trailer[len(magic)+8:], ino: st.Sys().(*syscall.Stat_t).Ino,
		info: hoist.BlobInfo{Key: key, Size: size, ModTime: st.ModTime()}}, nil
}

func (b *file) content() *io.SectionReader { return io.NewSectionReader(b.File, 0, b.info.Size) }

// verify reads the whole blob and compares its checksum.
func (b *file) verify() error {
	hash := sha256.New()
	if _, err := io.Copy(hash, b.content()); errors.Is(err, syscall.EIO) {
		return hoist.ErrCorrupt
	} else if err != nil {
		return err
	}
	if !slices.Equal(hash.Sum(nil), b.sum) {
		return hoist.ErrCorrupt
	}
	return nil
}

func (b *file) etag() string { return hex.EncodeToString(b.sum) }

// remove deletes a blob, and directories that are empty then.
func (f *Files) remove(key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := os.Remove(f.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dir := path.Dir(key)
	for ; dir != "."; dir = path.Dir(dir) {
		if os.Remove(filepath.Join(f.root(), filepath.FromSlash(dir))) != nil {
			break
		}
	}
	return syncDir(filepath.Join(f.root(), filepath.FromSlash(dir)))
}

// list calls g for each blob whose key begins with prefix, in order of keys.
func (f *Files) list(ctx context.Context, prefix string, g func(hoist.BlobInfo) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	dir := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir = prefix[:i+1]
	}
	return f.listDir(ctx, dir, prefix, g)
}

// listDir lists the directory dir, which is "" or ends in "/".
func (f *Files) listDir(ctx context.Context, dir, prefix string, g func(hoist.BlobInfo) error) error {
	entries, err := os.ReadDir(filepath.Join(f.root(), filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	names := make([]string, len(entries)) // "a" is a blob, "a/" a directory
	for i, e := range entries {
		if names[i] = strings.TrimSuffix(e.Name(), "@"); e.IsDir() {
			names[i] += "/"
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := dir + name
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if strings.HasSuffix(key, "/") {
			if err := f.listDir(ctx, key, prefix, g); err != nil {
				return err
			}
			continue
		}
		st, err := os.Stat(f.path(key))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		} else if err != nil {
			return err
		}
		info := hoist.BlobInfo{Key: key, Size: max(st.Size()-int64(trailerSize), 0), ModTime: st.ModTime()}
		if err := g(info); err != nil {
			return err
		}
	}
	return nil
}
