package archive

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// ErrTooLarge means that an archive would be larger than allowed.
var ErrTooLarge = errors.New("the archive is too large")

// Create writes dir's files, directories and symbolic links to w as a tar
// archive compressed with zstd, limit bytes at most (ErrTooLarge). Other kinds
// of files are left out.
func Create(w io.Writer, dir string, limit int64) error {
	p, err := newPacker(w, dir, limit)
	if err != nil {
		return err
	}
	return p.close(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return p.add(path, info)
	}))
}

// packer writes an archive of files in dir.
type packer struct {
	dir string
	z   *zstd.Encoder
	tw  *tar.Writer
}

func newPacker(w io.Writer, dir string, limit int64) (*packer, error) {
	z, err := zstd.NewWriter(&limited{w, limit}, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	return &packer{dir, z, tar.NewWriter(z)}, nil
}

// close ends the archive unless there was an error, which it returns then.
func (p *packer) close(err error) error {
	if err == nil {
		err = p.tw.Close()
	}
	return errors.Join(err, p.z.Close())
}

func (p *packer) add(path string, info fs.FileInfo) error {
	link := ""
	var err error
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	default:
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	if h.Name, err = filepath.Rel(p.dir, path); err != nil {
		return err
	}
	h.Uname, h.Gname, h.Uid, h.Gid = "", "", 0, 0
	if err := p.tw.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(p.tw, f)
	return err
}

type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, ErrTooLarge
	}
	return l.w.Write(p)
}
