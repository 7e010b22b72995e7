package slug

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTwoCompilationsHaveDirectoriesOfTheirOwn(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	first, err := newWorkDir()
	if err != nil {
		t.Fatal(err)
	}
	second, err := newWorkDir()
	if err != nil {
		t.Fatal(err)
	}
	if first.build != filepath.Join(tmp, "build") || second.build == first.build {
		t.Errorf("%s and %s", first.build, second.build)
	}
	second.remove()
	if _, err := os.Stat(first.build); err != nil {
		t.Error(err)
	}
	first.remove()
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("%v", left)
	}
}
