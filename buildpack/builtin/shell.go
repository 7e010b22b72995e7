package builtin

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
)

// quote makes a word of a shell command.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/@%+=:,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// writeProfile adds a script that each dyno of the app sources when it starts.
func writeProfile(b *buildpack.Build, name, script string) error {
	dir := filepath.Join(b.Dir, ".profile.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644)
}
