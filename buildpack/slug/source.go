package slug

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/appfile"
)

// never are files that are in no slug, at any depth.
var never = map[string]bool{".git": true, ".gitmodules": true, ".DS_Store": true}

// CopySource copies an app's source from one directory to another that is empty
// or not there: files, directories and symbolic links with their modes and times.
func CopySource(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if never[d.Name()] && rel != "." {
			return skip(d)
		}
		return copyEntry(path, filepath.Join(to, rel), d)
	})
	return err
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func copyEntry(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		return os.Chmod(to, info.Mode().Perm()|0o700)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case 0:
		return copyFile(from, to, info)
	}
	return nil // sockets and the like
}

func copyFile(from, to string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// Prune removes from an app's source what its .slugignore names and what is in
// no slug, before any buildpack sees it.
func Prune(dir string, out *buildpack.Output) error {
	text, err := appfile.Read(dir, ".slugignore", appfile.Limit)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	ignore := ParseIgnore(string(text))
	for _, line := range ignore.Unsupported {
		out.Warn(".slugignore: %q is not a pattern; it has no effect", line)
	}
	removed := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if !never[d.Name()] && !ignore.Match(filepath.ToSlash(rel), d.IsDir()) {
			return nil
		}
		if !never[d.Name()] {
			removed++
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return skip(d)
	})
	if removed > 0 {
		out.Step("Deleting %d files matching .slugignore patterns.", removed)
	}
	return err
}
