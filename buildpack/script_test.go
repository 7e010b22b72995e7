package buildpack

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a bin/detect prints is the buildpack's, and nothing that the result of a build may not have.
func TestTheNameOfAnAppIsShort(t *testing.T) {
	for said, want := range map[string]string{
		"Perl\nand more":                     "Perl",
		"a\tb\x1b[1m":                        "ab[1m",
		"":                                   "Unknown",
		strings.Repeat("x", NameLimit+1):     strings.Repeat("x", NameLimit),
		"x" + strings.Repeat("é", NameLimit): "x" + strings.Repeat("é", NameLimit/2-1),
		strings.Repeat("\xff", NameLimit) + "\nmore": strings.Repeat("\uFFFD", NameLimit/3),
	} {
		s := Script{t.TempDir()}
		os.Mkdir(filepath.Join(s.Dir, "bin"), 0o700)
		os.WriteFile(filepath.Join(s.Dir, "name"), []byte(said), 0o600)
		os.WriteFile(s.bin("detect"), []byte("#!/bin/sh\ncat "+filepath.Join(s.Dir, "name")+"\n"), 0o700)
		b := &Build{Dir: t.TempDir(), Environ: os.Environ(), Out: NewOutput(&bytes.Buffer{})}
		if name, err := s.Detect(t.Context(), b); err != nil || name != want {
			t.Errorf("%q: %q, %v", said, name, err)
		}
	}
}
