package git

import (
	"io"
	"os"
	"testing"
)

func TestScrapLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := scrap(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	io.WriteString(f, "a pack")
	f.Seek(0, io.SeekStart)
	if got, err := io.ReadAll(f); err != nil || string(got) != "a pack" {
		t.Errorf("%q, %v", got, err)
	}
}
