// Package procfile reads Procfiles
// (https://devcenter.heroku.com/articles/procfile): one "TYPE: COMMAND" a line.
package procfile

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hoist-sh/hoist/buildpack/appfile"
)

// Bounds of a Procfile; more is an error.
const (
	MaxSize    = 64 << 10 // bytes of the file
	MaxTypes   = 100
	MaxCommand = 16 << 10 // bytes of one command
)

var (
	line     = regexp.MustCompile(`^([A-Za-z0-9_-]+)[ \t]*:[ \t]*(.+)$`)
	typeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
)

// Types maps process types to their commands.
type Types map[string]string

// Names returns the process types in order.
func (t Types) Names() []string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Validate reports what a Procfile with these types could not say.
func (t Types) Validate() error {
	if len(t) > MaxTypes {
		return fmt.Errorf("%d process types; at most %d are allowed", len(t), MaxTypes)
	}
	for _, name := range t.Names() {
		if err := check(name, t[name]); err != nil {
			return err
		}
	}
	return nil
}

func check(name, command string) error {
	switch {
	case !typeName.MatchString(name):
		return fmt.Errorf("%.80q is not a process type: use up to 63 letters, digits, dashes and underscores", name)
	case strings.TrimSpace(command) == "":
		return fmt.Errorf("%s has no command", name)
	case len(command) > MaxCommand:
		return fmt.Errorf("%s: the command has %d bytes; at most %d are allowed", name, len(command), MaxCommand)
	case !utf8.ValidString(command) || strings.ContainsAny(command, "\x00\n\r"):
		return fmt.Errorf("%s: the command is not one line of UTF-8 text", name)
	}
	return nil
}

// Parse reads a Procfile. Empty lines and lines that start with # are skipped;
// line ends may be CRLF. Its errors name the line.
func Parse(text []byte) (Types, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("Procfile has %d bytes; at most %d are allowed", len(text), MaxSize)
	}
	types := Types{}
	seen := map[string]int{}
	s := strings.TrimPrefix(string(text), "\ufeff")
	for i, l := range strings.Split(s, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		m := line.FindStringSubmatch(l)
		if m == nil {
			return nil, fmt.Errorf("Procfile line %d: %.80q is not of the form TYPE: COMMAND, such as web: bin/server", i+1, l)
		}
		name, command := m[1], strings.TrimSpace(m[2])
		if first, twice := seen[name]; twice {
			return nil, fmt.Errorf("Procfile line %d: %s was already declared in line %d", i+1, name, first)
		}
		if err := check(name, command); err != nil {
			return nil, fmt.Errorf("Procfile line %d: %w", i+1, err)
		}
		if len(types) == MaxTypes {
			return nil, fmt.Errorf("Procfile line %d: at most %d process types are allowed", i+1, MaxTypes)
		}
		types[name], seen[name] = command, i+1
	}
	return types, nil
}

// Read parses dir/Procfile. An app without one has no types and found is false.
func Read(dir string) (types Types, found bool, err error) {
	text, err := appfile.Read(dir, "Procfile", MaxSize)
	if os.IsNotExist(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	types, err = Parse(text)
	return types, true, err
}
