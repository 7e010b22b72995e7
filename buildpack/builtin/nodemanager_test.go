package builtin

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hoist-sh/hoist/buildpack"
)

// app is a Node.js app with a lock file and a package.json.
func app(t testing.TB, file, lock, pkg string) *nodeBuild {
	t.Helper()
	b := &buildpack.Build{Dir: t.TempDir(), Out: buildpack.NewOutput(io.Discard)}
	for name, text := range map[string]string{file: lock, "package.json": pkg} {
		if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := readPackage(b)
	if err != nil {
		t.Fatal(err)
	}
	return &nodeBuild{Build: b, pkg: p}
}

func TestPackageManagersAreChosenByTheirLockFiles(t *testing.T) {
	for _, c := range []struct{ file, lock, pkg, want string }{
		{"yarn.lock", "__metadata:\n  version: 4\n", `{}`, "@yarnpkg/cli-dist@2"},
		{"yarn.lock", "__metadata:\n  version: 6\n", `{}`, "@yarnpkg/cli-dist@3"},
		{"yarn.lock", "# x\r\n\r\n__metadata:\r\n  version: 8\r\n", `{}`, "@yarnpkg/cli-dist@4"},
		{"yarn.lock", "__metadata:\n  version: 6\n", `{"packageManager": "yarn@3.8.7+sha512.ab"}`, "@yarnpkg/cli-dist@3.8.7"},
		{"yarn.lock", "", `{"packageManager": "yarn@4.9.2"}`, "@yarnpkg/cli-dist@4.9.2"},
		{"yarn.lock", "# yarn lockfile v1\n", `{}`, "yarn@1"},
		{"yarn.lock", "# yarn lockfile v1\n", `{"engines": {"yarn": "1.22.x"}}`, "yarn@1.22.x"},
		{"yarn.lock", "# yarn lockfile v1\n", `{"engines": {"yarn": ">=1.22"}, "packageManager": "yarn@1.22.19"}`, "yarn@1.22.19"},
		{"pnpm-lock.yaml", "lockfileVersion: 5.4\n", `{}`, "pnpm@7"},
		{"pnpm-lock.yaml", "lockfileVersion: '6.0'\n", `{}`, "pnpm@8"},
		{"pnpm-lock.yaml", "lockfileVersion: \"9.0\"\r\n", `{}`, "pnpm@9"},
		{"pnpm-lock.yaml", "", `{"engines": {"pnpm": "10"}}`, "pnpm@10"},
		{"pnpm-lock.yaml", "lockfileVersion: '9.0'\n", `{"packageManager": "pnpm@10.2.0"}`, "pnpm@10.2.0"},
		{"package-lock.json", "{}", `{"packageManager": "yarn@4.9.2"}`, ""},
		{"other", "", `{}`, ""},
	} {
		m, err := app(t, c.file, c.lock, c.pkg).choose()
		if err != nil || m.tool != c.want || len(m.install) == 0 {
			t.Errorf("%s %q, %s: %q, %v; want %q", c.file, c.lock, c.pkg, m.tool, err, c.want)
		}
	}
}

func FuzzPackageJSON(f *testing.F) {
	f.Add(`{"engines": {"node": ">=20", "npm": 10}, "scripts": {"start": "node ."}, "devDependencies": {"a": "1"}}`)
	f.Add(`{"engines": "node", "scripts": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		b := &buildpack.Build{Dir: t.TempDir(), Out: buildpack.NewOutput(io.Discard)}
		if err := os.WriteFile(filepath.Join(b.Dir, "package.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readPackage(b); err == nil && !json.Valid([]byte(text)) {
			t.Errorf("%q is a package.json", text)
		}
	})
}

func FuzzPackageManagers(f *testing.F) {
	f.Add(true, "__metadata:\n  version: 8\n", "yarn@4.9.2+sha512.ab", ">=4")
	f.Add(false, "lockfileVersion: '9.0'\n", "", "^9")
	f.Fuzz(func(t *testing.T, yarn bool, lock, manager, engine string) {
		file := "yarn.lock"
		if !yarn {
			file = "pnpm-lock.yaml"
		}
		n := app(t, file, lock, "{}")
		n.pkg.PackageManager, n.pkg.Engines.Yarn, n.pkg.Engines.PNPM = manager, engine, engine
		if m, err := n.choose(); err == nil && (m.tool == "" || len(m.install) == 0) {
			t.Errorf("%+v", m)
		}
	})
}
