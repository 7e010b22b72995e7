package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A machine whose distribution was upgraded has two servers; a cluster starts only with its own.
func TestProgramsAreThoseOfTheCluster(t *testing.T) {
	server := func(version string) string {
		dir := t.TempDir()
		for name, text := range map[string]string{"initdb": "", "postgres": fmt.Sprintf("echo 'postgres (PostgreSQL) %s (Debian)'", version)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	newer, older := server("17.6"), server("15.14")
	dirs := []string{t.TempDir(), newer, older}
	for major, want := range map[string]string{"": newer, "17": newer, "15": older} {
		if got, err := programsOf(major, dirs); got != want || err != nil {
			t.Errorf("cluster of %q: got %s, %v", major, got, err)
		}
	}
	if _, err := programsOf("13", dirs); err == nil || !strings.Contains(err.Error(), "apt-get install postgresql-13") {
		t.Errorf("got %v", err)
	}
	s := Server{Dir: t.TempDir()}
	data := filepath.Join(s.Dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 6") {
		t.Errorf("got %v", err)
	}
}
