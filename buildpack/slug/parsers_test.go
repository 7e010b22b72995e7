package slug_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

func TestIgnorePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		dir, want     bool
	}{
		{"*.psd", "a/b.psd", false, true},
		{"/*.psd", "a/b.psd", false, false},
		{"spec/", "a/spec", true, true},
		{"spec/", "spec", false, false},
		{"/spec", "spec", true, true},
		{"a/b", "x/a/b", true, false},
		{"a/**/z", "a/z", false, true},
		{"a/**/z", "a/b/c/z", false, true},
		{"a/**/z", "b/z", false, false},
		{"**/x", "x", false, true},
		{"a/**", "a/b/c", false, true},
		{"[a-c]?", "b1", false, true},
	} {
		if got := slug.ParseIgnore(c.pattern).Match(c.name, c.dir); got != c.want {
			t.Errorf("%q and %q (directory: %v): %v", c.pattern, c.name, c.dir, got)
		}
	}
}

func FuzzIgnore(f *testing.F) {
	f.Add("*.psd\n/docs\r\n!x\n[", "a/b.psd")
	f.Add("**/**/**/**/a", "a/a/a/a/a/a/b")
	f.Add("/\n//\n/./", "/")
	f.Fuzz(func(t *testing.T, text, name string) {
		start := time.Now()
		slug.ParseIgnore(text).Match(name, true)
		if len(text)+len(name) < 1000 && time.Since(start) > 10*time.Second {
			t.Error("it takes too long")
		}
	})
}

func TestResultsAreNotBelieved(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for text, want := range map[string]string{
		`{`:                                    "not valid",
		`{}`:                                   "no checksum",
		`{"sha256":"` + sum + `"}`:             "0 bytes",
		`{"sha256":"` + sum + `","size":1e30}`: "not valid",
		`{"sha256":"` + sum + `","size":600000000}`:                                        "bytes",
		`{"sha256":"` + sum + `","size":1,"process_types":{"we b":"x"}}`:                   "not a process type",
		`{"sha256":"` + sum + `","size":1,"process_types":{"web":"x\ny"}}`:                 "not one line",
		`{"sha256":"` + sum + `","size":1,"buildpack":"` + strings.Repeat("x", 300) + `"}`: "too long",
		`{"error":"why","buildpack":"` + strings.Repeat("x", 300) + `"}`:                   "too long",
		`{"sha256":"` + sum + `","size":1,"buildpack":"a\u0000b"}`:                         "not one line",
	} {
		if _, err := slug.ParseResult([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"sha256":"` + strings.Repeat("0", 64) + `","size":1,"process_types":{"web":"x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := slug.ParseResult(text)
		if err == nil && r.Error == "" && (len(r.SHA256) != 64 || r.Size <= 0 || r.ProcessTypes.Validate() != nil) {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("---\naddons: []\ndefault_process_types:\n  web: x\n"))
	f.Add([]byte("--- {}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) { buildpack.ParseRelease(text) })
}
