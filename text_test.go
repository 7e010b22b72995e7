package hoist_test

import (
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{"public": "public", ".": ".", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := hoist.ShellQuote(s); got != want {
			t.Errorf("%q: %s", s, got)
		}
	}
}

func TestRest(t *testing.T) {
	long := strings.Repeat("a line\n", hoist.Seam) + "the last\n"
	for _, c := range []struct{ name, shown, output, want string }{
		{"nothing", "", "a\nb\n", "a\nb\n"},
		{"a part", "a\nb", "a\nb\nc\n", "\nc\n"},
		{"all", "a\nb\n", "a\nb\n", ""},
		{"no output", "a\n", "", ""},
		{"of an output whose start is gone", "a\n" + long, "e\n" + long[20:] + "more\n", "more\n"},
		{"a build that was compiled twice", "go\nbroken\nagain\ngo\nfetch", "go\nfetch it\ndone\n", " it\ndone\n"},
		{"the first compilation only", "go\nbroken\n", "fetch\n\ndone\n", "fetch\n\ndone\n"},
		{"an empty line in common", "broken\n\n", "fetch\n\ndone\n", "fetch\n\ndone\n"},
		{"without a line that was lost", "a\nc\n", "a\nb\nc\nd\n", "d\n"},
	} {
		if got := hoist.Rest(c.shown, c.output); got != c.want {
			t.Errorf("%s: %.200q", c.name, got)
		}
	}
}
