package seed_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/seed"
)

func TestARestoredPlatformHasItsSettings(t *testing.T) {
	old := seed.Defaults()
	old.DataDir, old.Domain, old.Secure = t.TempDir(), "example.com", true
	old.BuildEnv["GOPROXY"], old.Tuning["HOIST_DRAIN"], old.Tuning["HOIST_MEMORY"] = "mirror", "9s", "1"
	old.TLSCert, old.TLSKey = filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "k")
	os.WriteFile(old.TLSCert, []byte("cert"), 0o600)
	os.WriteFile(old.TLSKey, []byte("key"), 0o600)
	files, err := seed.KeptFiles(old)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(t.TempDir(), "hoist.toml")
	os.WriteFile(config, []byte("secure = false\n"), 0o600)
	s, err := seed.Load(config, []string{"HOIST_DATA=" + dir, "HOIST_BUILD_ENV_OTHER=x"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "example.com" || s.Secure || s.BuildEnv["GOPROXY"] != "mirror" || s.BuildEnv["OTHER"] != "x" ||
		s.Tuning["HOIST_DRAIN"] != "9s" || s.Tuning["HOIST_MEMORY"] != "" {
		t.Errorf("%+v", s)
	}
	if text, err := os.ReadFile(s.TLSCert); string(text) != "cert" || filepath.Dir(s.TLSCert) != dir {
		t.Error(s.TLSCert, err)
	}
	os.WriteFile(filepath.Join(dir, "restored.toml"), []byte("domian = 'x'\n"), 0o600)
	if _, err := seed.Load(config, []string{"HOIST_DATA=" + dir}, nil, nil); err == nil || !strings.Contains(err.Error(), "domian") {
		t.Error(err)
	}
}

func TestAFailedRestoreLeavesNothing(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "hoist-restore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	os.Chmod(root, 0o755) // Postgres passes through it
	s := seed.Defaults()
	s.DataDir = filepath.Join(root, "data")
	broken := errors.New("broken")
	for _, exists := range []bool{false, true} {
		if exists {
			os.Mkdir(s.DataDir, 0o755)
		}
		err = seed.Restore(t.Context(), s, slog.New(slog.DiscardHandler), func(ctx context.Context, f seed.Fresh) error {
			if err := f.DB.Migrate(ctx); err != nil {
				t.Error(err)
			}
			if err := f.SaveFile("../x", nil); err == nil {
				t.Error("a file outside the data directory was written")
			}
			again := seed.Restore(ctx, s, slog.New(slog.DiscardHandler), func(context.Context, seed.Fresh) error { return nil })
			if again == nil || !strings.Contains(again.Error(), "Another restore") {
				t.Error(again)
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		left, _ := os.ReadDir(root)
		if !exists && len(left) > 0 || exists && len(left) != 1 {
			t.Error(left)
		}
	}
	// What makes it is all in place at once.
	err = seed.Restore(t.Context(), s, slog.New(slog.DiscardHandler), func(ctx context.Context, f seed.Fresh) error {
		return f.SaveFile("ca.pem", []byte("ca"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(s.DataDir, "ca.pem")); string(text) != "ca" {
		t.Error(err)
	}
	err = seed.Restore(t.Context(), s, slog.New(slog.DiscardHandler), nil)
	if err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Error(err)
	}
}
