package archive

import (
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Snapshot is what a directory holds, by slash-separated path: enough to tell
// later what has changed. It means something in this process only.
type Snapshot map[string]state

// state is what is compared of a file, a directory or a symbolic link. What is
// in a file is known by its sum, as programs also write the same again, and
// may set a file's time to what it was.
type state struct {
	mode  fs.FileMode
	size  int64  // bytes of a file
	mtime int64  // of a file, ns
	sum   uint64 // of a file's content or of where a link leads
}

// modes are those that an archive keeps.
const modes = fs.ModeType | fs.ModePerm

var seed = maphash.MakeSeed()

func newSum() *maphash.Hash {
	h := new(maphash.Hash)
	h.SetSeed(seed)
	return h
}

func fileState(info fs.FileInfo, sum *maphash.Hash) state {
	return state{info.Mode() & modes, info.Size(), info.ModTime().UnixNano(), sum.Sum64()}
}

func linkState(target string) state {
	return state{mode: fs.ModeSymlink, sum: maphash.String(seed, target)}
}

// Take returns what dir holds. Files that no archive has are left out.
func Take(dir string) (Snapshot, error) {
	s := Snapshot{}
	buf := make([]byte, 128<<10)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch d.Type() {
		case fs.ModeDir:
			info, err := d.Info()
			if err != nil {
				return err
			}
			s[name] = state{mode: info.Mode() & modes}
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			s[name] = linkState(target)
		case 0:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			sum := newSum()
			if _, err := io.CopyBuffer(sum, struct{ io.Reader }{f}, buf); err != nil {
				return err
			}
			info, err := f.Stat()
			if err != nil {
				return err
			}
			s[name] = fileState(info, sum)
		}
		return nil
	})
	return s, err
}

// Size is how many bytes the files have.
func (s Snapshot) Size() (bytes int64) {
	for _, e := range s {
		bytes += e.size
	}
	return bytes
}
