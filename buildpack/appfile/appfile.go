// Package appfile reads the files of an app's source that say how to compile it. The source
// is a user's: a Procfile may be a link to a device that never ends.
package appfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Limit is the largest such file, in bytes, where there is no smaller one.
const Limit = 4 << 20

// Read returns the contents of the file name of the app in dir: limit bytes at most. Its
// errors name the file. Of one that is not there they are fs.ErrNotExist.
func Read(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if os.IsNotExist(err) {
		return nil, err
	}
	if err != nil {
		if st, statErr := root.Lstat(name); statErr == nil && st.Mode().Type() == fs.ModeSymlink {
			err = fmt.Errorf("%s is a link that does not lead to a file of the app", name)
		}
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return text, err
}
