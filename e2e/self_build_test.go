package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// change replaces a text in one file of the platform's source, or adds a file if old is empty.
type change struct{ file, old, new string }

// program compiles bin/hoist with the flags of script/build.sh, which are
// those of the Go buildpack, from the source with some changes. The changes
// are an overlay: the source itself stays as it is.
func program(t *testing.T, name string, changes ...change) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(hoistBin), "self-"+name)
	out := filepath.Join(dir, "hoist")
	if _, err := os.Stat(out); err == nil {
		return out
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for i, c := range changes {
		path := filepath.Join(root, c.file)
		text := c.new
		if c.old != "" {
			was, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(was), c.old) != 1 {
				t.Fatalf("%s has no longer, or not once only, what is to be changed:\n%s", c.file, c.old)
			}
			text = strings.Replace(string(was), c.old, c.new, 1)
		}
		copied := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(path)))
		if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if replace[path] != "" {
			t.Fatalf("%s is changed twice", c.file)
		}
		replace[path] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", overlay, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-tags", "heroku",
		"-o", out, "./cmd/hoist")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build of %s: %v\n%s", name, err, text)
	}
	return out
}

// goodProgram is bin/hoist of the source as it is, and with n > 0 another one that does the same.
func goodProgram(t *testing.T, n int) string {
	t.Helper()
	if n == 0 {
		return hoistBin
	}
	return program(t, fmt.Sprint("good", n), goodChange(n))
}

// goodChange makes the source another one that does the same.
func goodChange(n int) change {
	const text = "Run the platform on this machine: the ground and all components"
	return change{"cmd/hoist/seed.go", `Short:   "` + text + `"`, fmt.Sprintf(`Short:   "%s (%d)"`, text, n)}
}

// sabotage is a release of the platform that cannot do its work.
type sabotage struct {
	name   string
	reason string // what the push and the log must say, a regular expression that no other sabotage meets
	build  func(t *testing.T) string
	letIn  bool // its parts do their tasks, and it does harm only then
	late   bool // and at last only after the push was told that it runs
}

// sabotages are ways in which a release of the platform may be broken.
func sabotages(t *testing.T) []sabotage {
	changed := func(name, reason string, c ...change) sabotage {
		return sabotage{name: name, reason: reason, build: func(t *testing.T) string { return program(t, name, c...) }}
	}
	whole := changed("compile does no build but its own proof's", `the platform as a whole: the next push: .*no end within 40s`,
		change{"compile/worker.go", "w.settings.Self, proven, w.settings.Lease)", "w.settings.Self, false && proven, w.settings.Lease)"})
	whole.letIn = true
	// It takes no build with it: who uses the platform only waits.
	crashes := changed("compile crashes after a while", `compile\.1: it crashed 3 times .*panic: sabotaged compile`,
		change{"compile/worker.go", "proven := w.isProven()", `proven := w.isProven()
		w.mu.Lock()
		if proven && sabotageDue() && len(w.jobs) == 0 {
			panic("sabotaged compile")
		}
		w.mu.Unlock()`},
		change{file: "compile/sabotage.go", new: `package compile

import (
	"os"
	"time"
)

var letIn time.Time

// sabotageDue: later in a dyno that had to prove itself, as it has to work until the release is good.
func sabotageDue() bool {
	if letIn.IsZero() {
		letIn = time.Now()
	}
	if os.Getenv("HOIST_PROBATION") == "true" {
		return time.Since(letIn) > 8*time.Second
	}
	return time.Since(letIn) > time.Second
}
`})
	crashes.letIn, crashes.late = true, true
	return []sabotage{
		changed("api panics at start", `api\.1: it exited with status 2 \(its last words: panic: sabotaged api\)`,
			change{"cmd/hoist/api.go", `l, err := net.Listen("tcp", g.listenAddr())`,
				"if true {\n\t\t\t\tpanic(\"sabotaged api\")\n\t\t\t}\n\t\t\tl, err := net.Listen(\"tcp\", g.listenAddr())"}),
		changed("compile produces bad slugs", `compile\.1: the slug has the checksum [0-9a-f]+, not [0-9a-f]+ as it registered`,
			change{"compile/result.go", "if hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {",
				"s.SHA256 = r.SHA256[1:] + r.SHA256[:1]\n\tif hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {"}),
		changed("router answers 500", `router\.1: http: it answers 500`,
			change{"router/proxy.go", "v := &visit{p: p, w: w, r: r, started: time.Now()}",
				"for b := make([]byte, 1<<15); ; {\n\t\tif _, err := r.Body.Read(b); err != nil {\n\t\t\tw.WriteHeader(http.StatusInternalServerError)\n\t\t\treturn\n\t\t}\n\t}\n\tv := &visit{p: p, w: w, r: r, started: time.Now()}"}),
		changed("runtime cannot start dynos", `runtime\.1: a dyno did not start: .*sabotaged runtime`,
			change{"runtime/process.go", "if err := s.r.engine.Start(ctx, spec); err != nil {",
				"if err := fmt.Errorf(\"sabotaged runtime\"); err != nil {"}),
		changed("git refuses pushes", `git\.1: over HTTP: git push failed: sabotaged git`,
			change{"git/hook.go", "updates, err := parseUpdates(string(req.Updates))",
				"updates, err := parseUpdates(string(req.Updates))\n\tif err == nil {\n\t\terr = refuse(\"sabotaged git\")\n\t}"}),
		changed("logs drops lines", `logs\.1: of 100 lines it gave \d\d: `, // every second, and the first
			change{"logs/writer.go", "for _, e := range entries {",
				"for _, e := range entries {\n\t\tif dropped = !dropped; dropped {\n\t\t\tcontinue\n\t\t}"},
			change{file: "logs/sabotage.go", new: "package logs\n\nvar dropped bool\n"}),
		{name: "migration fails", reason: `api\.1: it waits for its database schema: .*"no_such_table" does not exist`, build: brokenMigration},
		{name: "binary does not execute", reason: `\.1: it exited with status 126 \(its last words: .*bin/hoist: `, build: func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "hoist")
			if err := os.WriteFile(path, []byte("\x7fELF, but no more of it"), 0o755); err != nil {
				t.Fatal(err)
			}
			return path
		}},
		whole, crashes,
	}
}

// brokenMigration is a program with two more migrations: the second one fails. The release
// before goes on with the schema that the first one made.
func brokenMigration(t *testing.T) string {
	n := migrations(t)
	return program(t, "migration", change{file: fmt.Sprintf("postgres/migrations/%03d_more.sql", n+1), new: "ALTER TABLE apps ADD COLUMN more text NOT NULL DEFAULT '';\n"},
		change{file: fmt.Sprintf("postgres/migrations/%03d_broken.sql", n+2), new: "ALTER TABLE no_such_table ADD COLUMN x integer;\n"},
		schemaOf(n, n+2))
}

// slowly is for how long the slow migration goes on.
const slowly = 4 * time.Second

// slowMigration is a program with one more migration, in the middle of which one can be.
func slowMigration(t *testing.T) string {
	n := migrations(t)
	return program(t, "slow", change{file: fmt.Sprintf("postgres/migrations/%03d_slow.sql", n+1), new: fmt.Sprintf(`CREATE TABLE slow (step integer NOT NULL);
INSERT INTO slow VALUES (1);
SELECT pg_sleep(%g);
INSERT INTO slow VALUES (2);
`, slowly.Seconds())}, schemaOf(n, n+1))
}

// migrations is how many there are.
func migrations(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("../postgres/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	return len(files)
}

func schemaOf(was, now int) change {
	return change{"postgres/postgres.go", fmt.Sprintf("const SchemaVersion = %d\n", was), fmt.Sprintf("const SchemaVersion = %d\n", now)}
}
