package slug

import (
	"os"
	"path/filepath"
)

// workDir holds what a compilation works on, below TMPDIR (/tmp).
type workDir struct {
	path  string
	build string // BUILD_DIR; empty
}

// newWorkDir makes one. The app is compiled at the fixed path TMPDIR/build
// unless that is taken, since paths end up in what compilers make.
func newWorkDir() (workDir, error) {
	tmp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return workDir{}, err
	}
	path, err := os.MkdirTemp(tmp, "hoist-compile-")
	if err != nil {
		return workDir{}, err
	}
	w := workDir{path: path, build: filepath.Join(tmp, "build")}
	err = os.Mkdir(w.build, 0o755)
	if err != nil {
		w.build = filepath.Join(path, "build")
		err = os.Mkdir(w.build, 0o755)
	}
	return w, err
}

func (w workDir) join(name string) string { return filepath.Join(w.path, name) }

func (w workDir) remove() {
	os.RemoveAll(w.build)
	os.RemoveAll(w.path)
}
