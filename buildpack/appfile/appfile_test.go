package appfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist/buildpack/appfile"
)

func TestOnlyFilesOfTheAppAreRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755),
		os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644),
		os.WriteFile(filepath.Join(dir, "large"), []byte("more text"), 0o644),
		os.WriteFile(filepath.Join(dir, "..", "secret"), nil, 0o644),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": "sub/../file", "out": "../secret", "device": "/dev/zero", "self": "/proc/self/environ",
		"loop": "loop", "dangling": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"file": "", "link": "", "sub": "sub is not a file", "pipe": "pipe is not a file", "large": "large has more than 8 bytes",
		"out": "out is a link that does not lead", "device": "device is a link", "self": "self is a link", "loop": "loop is a link",
	} {
		text, err := appfile.Read(dir, name, 8)
		if want == "" && (err != nil || string(text) != "text") || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"missing", "dangling"} {
		if _, err := appfile.Read(dir, name, 8); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
