package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheSampleAppIsCopiedWholeOrNotAtAll(t *testing.T) {
	c := upCommand{example: t.TempDir(), app: "hello", person: person{home: t.TempDir()}}
	if err := os.WriteFile(filepath.Join(c.example, "a"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(c.example, "b")
	if err := syscall.Mkfifo(last, 0o644); err != nil { // cannot be copied
		t.Fatal(err)
	}
	if err := c.copyExample(); err == nil {
		t.Error("what cannot be copied was")
	}
	if _, err := os.Stat(c.work()); err == nil {
		t.Error("a part of it was copied")
	}
	if err := os.Remove(last); err != nil {
		t.Fatal(err)
	}
	if err := c.copyExample(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(c.work(), "a")); err != nil {
		t.Error(err)
	}
}

func TestProgressOfACommandIsShownButNotItsError(t *testing.T) {
	var shown bytes.Buffer
	err := showing(&shown, exec.Command("sh", "-c", `exec >&2; printf '       he'; sleep 0.1; printf 're\n !    no\n       waiting for you\n       now\n'; exit 1`))
	if err == nil || err.Error() != "no" || shown.String() != "       here\n       now\n" {
		t.Errorf("%v, %q", err, shown.String())
	}
}
