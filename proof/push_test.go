package proof

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheKeyMayBeInAnyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a $place")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\nprintf '<%s>' \"$@\" >\"$HOME/said\"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	p := New(Config{Dir: dir})
	p.run(t.Context(), &world{key: filepath.Join(dir, "key")}, dir, "ls-remote", "ssh://git@127.0.0.1:1/x.git")
	said, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil || !strings.Contains(string(said), "<-i><"+dir+"/key><-o>") {
		t.Errorf("%s %v", said, err)
	}
}

func TestWhatAKilledProofLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "push123/.git"), 0o700)
	for _, name := range []string{"slug123", "id_ed25519"} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o600)
	}
	New(Config{Dir: dir}).tidy()
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "id_ed25519" {
		t.Errorf("left: %v", left)
	}
}
