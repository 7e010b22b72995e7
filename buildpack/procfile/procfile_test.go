package procfile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hoist-sh/hoist/buildpack/procfile"
)

func TestProcfile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want procfile.Types
	}{
		"two types":         {"web: bin/web -p $PORT\nworker: bin/worker\n", procfile.Types{"web": "bin/web -p $PORT", "worker": "bin/worker"}},
		"CRLF":              {"web: a\r\nworker: b\r\n", procfile.Types{"web": "a", "worker": "b"}},
		"comments, blanks":  {"\n# web: no\n\n  web:   a b  \n", procfile.Types{"web": "a b"}},
		"no space":          {"web:a", procfile.Types{"web": "a"}},
		"byte order mark":   {"\ufeffweb: a", procfile.Types{"web": "a"}},
		"colon in command":  {"web: a: b", procfile.Types{"web": "a: b"}},
		"dash, underscore":  {"web-2_x: a", procfile.Types{"web-2_x": "a"}},
		"nothing":           {"", procfile.Types{}},
		"release and clock": {"release: ./migrate\nclock: c", procfile.Types{"release": "./migrate", "clock": "c"}},
	} {
		got, err := procfile.Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestTyposAreNamedWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"web: a\nworker bin/b":          `line 2: "worker bin/b" is not of the form`,
		"web: a\n\nweb: b":              "line 3: web was already declared in line 1",
		"web:":                          "line 1",
		"we b: x":                       "line 1",
		"web: \x00":                     "line 1",
		strings.Repeat("x", 70) + ": y": "line 1",
		strings.Repeat("#", 1<<17):      "bytes",
	} {
		if _, err := procfile.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"web: a", "web: a\r\nb: c", "x", "\ufeff#", "a:b:c", "web:\x00", "w : x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		types, err := procfile.Parse(text)
		if err != nil {
			return
		}
		if err := types.Validate(); err != nil {
			t.Fatalf("accepted what it calls invalid: %v", err)
		}
		var again strings.Builder
		for _, n := range types.Names() {
			again.WriteString(n + ": " + types[n] + "\n")
		}
		if again.Len() > procfile.MaxSize {
			return
		}
		got, err := procfile.Parse([]byte(again.String()))
		if err != nil || cmp.Diff(types, got) != "" {
			t.Fatalf("%q: %v, %v", again.String(), got, err)
		}
	})
}
