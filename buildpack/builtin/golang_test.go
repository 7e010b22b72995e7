package builtin

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
)

// What the source has in bin/ is not what was built.
func TestWebIsAProgramThatWasBuilt(t *testing.T) {
	dir := t.TempDir()
	b := &buildpack.Build{Dir: dir}
	for name, text := range map[string]string{"go.mod": "module example.com/app\n", "main.go": "package main\n\nfunc main() {}\n",
		"bin/app": "#!/bin/sh\n", "bin/a.txt": "", "bin/web": "#!/bin/sh\n"} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := (Go{}).Release(t.Context(), b); err == nil {
		t.Errorf("%v of no program", r)
	}
	for _, c := range []struct{ name, tags, web string }{{"a", "", ""}, {"z", "heroku", "bin/z"}} {
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-tags="+c.tags, "-o", "bin/"+c.name, ".")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if r, _ := (Go{}).Release(t.Context(), b); r.ProcessTypes["web"] != c.web {
			t.Errorf("%s: %v", c.name, r)
		}
	}
}
