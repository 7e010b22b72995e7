package builtin

import (
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist/buildpack"
)

// writeProfile adds a script that each dyno of the app sources when it starts.
func writeProfile(b *buildpack.Build, name, script string) error {
	dir := filepath.Join(b.Dir, ".profile.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644)
}
