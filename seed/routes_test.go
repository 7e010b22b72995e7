package seed

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRoutesArePassedOnToTheNextRouter(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	path := filepath.Join(from, routesFile)
	has := func(want string) {
		t.Helper()
		if text, _ := os.ReadFile(filepath.Join(to, routesFile)); string(text) != want {
			t.Errorf("%q, not %q", text, want)
		}
	}
	pass := func(fails bool) {
		t.Helper()
		if err := passRoutes(from, to); (err != nil) != fails {
			t.Error(err)
		}
	}
	put := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, at, at)
	}
	pass(false) // there are none
	put("first", time.Now())
	pass(false)
	has("first")
	put("older", time.Now().Add(-time.Hour))
	pass(false)
	has("first")
	put("newer", time.Now().Add(time.Hour))
	pass(false)
	has("newer")
	// What another's directory has is not to be trusted, nor what is in the way.
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	os.Symlink(secret, path)
	pass(true)
	has("newer")
	os.Remove(path)
	put("newest", time.Now().Add(2*time.Hour))
	os.Remove(filepath.Join(to, routesFile))
	os.Symlink(secret, filepath.Join(to, routesFile))
	pass(false)
	has("newest")
	if text, _ := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("a link was followed: %q", text)
	}
}
