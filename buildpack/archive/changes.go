package archive

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Changes is what makes one state of a directory of another.
type Changes struct {
	written []string // not there before, or another mode or content
	touched []string // files of another time only
	removed []string // what is in a directory before itself
	size    int64
}

// Size is how many bytes the files have that were written, and had those that are
// no more.
func (c Changes) Size() int64 { return c.size }

// ChangesTo returns what has changed since the snapshot.
func (s Snapshot) ChangesTo(now Snapshot) Changes {
	var c Changes
	for _, name := range slices.Sorted(maps.Keys(now)) {
		is := now[name]
		was, there := s[name]
		timeless := was
		timeless.mtime = is.mtime
		switch {
		case there && was == is:
		case there && timeless == is:
			c.touched = append(c.touched, name)
		default:
			c.written = append(c.written, name)
			c.size += is.size + was.size
		}
	}
	for name, was := range s {
		is, there := now[name]
		if !there {
			c.size += was.size
		}
		if !there || is.mode.Type() != was.mode.Type() {
			c.removed = append(c.removed, name)
		}
	}
	slices.Sort(c.removed)
	slices.Reverse(c.removed)
	return c
}

// PAX records (pax(1), "pax Extended Header") of an archive of changes.
const (
	baseRecord   = "HOIST.base"   // of the archive: what the changes are made to
	changeRecord = "HOIST.change" // of an entry that is not one to write: what else
	removed      = "removed"
	touched      = "touched"
)

// ErrOtherBase means that an archive does not hold changes to what was asked for.
var ErrOtherBase = errors.New("the archive does not hold changes to this one")

// CreateChanges writes changes of dir for ExtractChanges, as Create would all of
// it. base is a name of the state that they are made to.
func CreateChanges(w io.Writer, dir string, c Changes, base string, limit int64) error {
	p, err := newPacker(w, dir, limit)
	if err != nil {
		return err
	}
	return p.close(func() error {
		err := p.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "changes", PAXRecords: map[string]string{baseRecord: base}})
		if err != nil {
			return err
		}
		for _, name := range c.removed {
			if err := p.mark(tar.Header{Name: name}, removed); err != nil {
				return err
			}
		}
		for _, name := range c.touched {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			if err := p.mark(tar.Header{Name: name, ModTime: info.ModTime()}, touched); err != nil {
				return err
			}
		}
		for _, name := range c.written {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			if err := p.add(filepath.Join(dir, name), info); err != nil {
				return err
			}
		}
		return nil
	}())
}

func (p *packer) mark(h tar.Header, change string) error {
	h.Typeflag, h.PAXRecords = tar.TypeReg, map[string]string{changeRecord: change}
	return p.tw.WriteHeader(&h)
}

// ExtractChanges makes dir, which holds what the snapshot says, what it was
// when the changes were written, and returns what it holds then. If they are not
// changes to base, nothing is done and the error is ErrOtherBase. After another one
// dir is neither what it was nor what it should be.
func ExtractChanges(r io.Reader, dir, base string, held Snapshot, limits Limits) (Snapshot, error) {
	x := extractor{limits: limits, base: base, held: maps.Clone(held)}
	return x.held, x.extract(r, dir)
}

// change does to a name what its entry says instead of writing it.
func (x *extractor) change(dir *os.Root, name string, h *tar.Header) error {
	base := path.Base(name)
	if h.PAXRecords[changeRecord] == removed {
		delete(x.held, name)
		return dir.RemoveAll(base)
	}
	info, err := dir.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	touch(dir, base, h)
	if info, err = dir.Lstat(base); err != nil {
		return err
	}
	was := x.held[name]
	was.mtime = info.ModTime().UnixNano()
	x.held[name] = was
	return nil
}
