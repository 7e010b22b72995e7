package builtin

import (
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestGoModSettings(t *testing.T) {
	for text, want := range map[string]goMod{
		"module x\n":          {path: "x", minimum: "go1.21"},
		"module x\ngo 1.25\n": {path: "x", minimum: "go1.25"},
		"module x\ngo 1.24.1\ntoolchain go1.25.3\n":       {path: "x", minimum: "go1.25.3"},
		"// +heroku goVersion go1.25\nmodule x\ngo 1.2\n": {path: "x", minimum: "go1.2", exact: "go1.25"},
	} {
		got, err := parseGoMod([]byte(text))
		if err != nil || got.path != want.path || got.minimum != want.minimum || got.exact != want.exact {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
}

func TestProgramNames(t *testing.T) {
	for path, want := range map[string]string{"example.com/x": "x", "example.com/x/v2": "x", "v2": "v2", "example.com/vendor": "vendor"} {
		if got := (goMod{path: path}).programName(); path != "v2" && got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func FuzzGoMod(f *testing.F) {
	f.Add([]byte("// +heroku install ./cmd/... ./x\nmodule example.com/x/v2\n\ngo 1.25.0\n\ntoolchain go1.26.1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := parseGoMod(text); err == nil {
			m.programName()
		}
	})
}

func TestNodeRanges(t *testing.T) {
	for _, c := range []struct {
		wanted, version string
		ok              bool
	}{
		{"", "20.1.0", true},
		{"lts/*", "20.1.0", true},
		{"22.x", "22.4.1", true},
		{"22.x", "20.1.0", false},
		{">=18 <21", "20.1.0", true},
		{">=18 <21", "21.0.0", false},
		{"^18.0.0 || ^20.0.0", "20.1.0", true},
		{"18.0.0 - 20.5.0", "20.1.0", true},
		{"20", "20.1.0", true},
		{"v20.1.0", "20.1.0", true},
		{"~20.1", "20.2.0", false},
	} {
		r, err := nodeRange(c.wanted)
		if err != nil {
			t.Errorf("%q: %v", c.wanted, err)
		} else if got := r == nil || r.Check(semver.MustParse(c.version)); got != c.ok {
			t.Errorf("%q and %s: %v", c.wanted, c.version, got)
		}
	}
	if _, err := nodeRange("nine"); err == nil {
		t.Error("nine is a range")
	}
}

func FuzzNodeRange(f *testing.F) {
	f.Add(">=18 <21 || 22.x")
	f.Fuzz(func(t *testing.T, s string) { nodeRange(s) })
}

func TestNamesOfHerokusBuildpacksMeanTheBuiltInOnes(t *testing.T) {
	for _, name := range []string{"heroku/go", "urn:buildpack:heroku/go", "hoist/go"} {
		if p, ok := Find(name); !ok || p != (Go{}) {
			t.Errorf("%s: %v", name, p)
		}
	}
	if _, ok := Find("heroku/cobol"); ok {
		t.Error("heroku/cobol is built in")
	}
}
