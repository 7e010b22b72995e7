package hoist_test

import (
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
