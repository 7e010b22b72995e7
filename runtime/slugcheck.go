package runtime

import (
	"errors"
	"io/fs"
	"os"

	"github.com/hoist-sh/hoist"
)

// image is the local file of the slug that a dyno was started with last.
type image struct{ path, sum string }

// checkSlug looks whether a crash comes of a local slug that is not what was fetched: a bad disk
// shows in the midst of a file system. Such a file is removed, so that the next start
// fetches it again. It returns what to say of it, or nothing.
func (s *supervisor) checkSlug() string {
	if s.image.path == "" || s.image.sum == "" {
		return ""
	}
	sum, err := hoist.FileSHA256(s.image.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && sum == s.image.sum {
		return ""
	}
	s.log.Error("a slug on this machine is damaged", "file", s.image.path, "checksum", sum, "want", s.image.sum, "error", err)
	if err := os.Remove(s.image.path); err != nil {
		return "its slug on this machine is damaged, and cannot be removed: " + err.Error()
	}
	return "its slug on this machine was damaged; it is fetched again"
}
