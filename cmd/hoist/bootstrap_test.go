package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/seed"
)

// slugOf makes a slug of files: a name that ends with * is a program's, and a text that begins with -> is
// a link.
func (c *bootstrapCommand) slugOf(t *testing.T, made time.Time, files map[string]string) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range files {
		file, mode := filepath.Join(tree, strings.TrimSuffix(name, "*")), os.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			mode = 0o755
		}
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if to, link := strings.CutPrefix(text, "->"); err == nil && link {
			err = os.Symlink(to, file)
		} else if err == nil {
			err = os.WriteFile(file, []byte(text), mode)
			os.Chtimes(file, made, made)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("mksquashfs", tree, image, "-comp", "zstd", "-all-root", "-no-progress", "-quiet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sum, err := hoist.FileSHA256(image)
	if err != nil {
		t.Fatal(err)
	}
	path := c.settings.SystemSlug(sum)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(image, path); err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestWhereTwoSlugsDifferIsNamed(t *testing.T) {
	c := &bootstrapCommand{settings: seed.Settings{DataDir: t.TempDir()}}
	c.ctx = t.Context()
	then := time.Unix(1e9, 0)
	two := c.slugOf(t, then, map[string]string{"Procfile": "web: bin/hoist", "bin/hoist*": "program", "bin/more*": "1", "link": "->bin/hoist", "old/file": "x"})
	same := c.slugOf(t, then.Add(time.Hour), map[string]string{"Procfile": "web: bin/hoist", "bin/hoist*": "program", "bin/more*": "1", "link": "->bin/hoist", "old/file": "x"})
	three := c.slugOf(t, then, map[string]string{"Procfile": "web: bin/hoist", "bin/hoist*": "PROGRAM", "bin/more": "1", "link": "->bin/more", "new": ""})
	if two == same {
		t.Fatal("the slugs are the same")
	}
	said, err := c.differences(two, three)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(said) {
		name, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		names = append(names, name)
		for file, want := range map[string]string{"bin/more": "(-rwxr-xr-x 1 bytes 6b86b2", "link": "bin/hoist, Lrwxrwxrwx bin/more)", "new": "(in stage 3 only)", "old": "(in stage 2 only)"} {
			if name == file && !strings.Contains(what, want) {
				t.Errorf("%s: %q, not %q", name, what, want)
			}
		}
	}
	if got := strings.Join(names, " "); got != "bin/hoist bin/more link new old old/file" {
		t.Errorf("they differ in %q:\n%s", got, said)
	}
	if said, err := c.differences(two, same); err != nil || said != "nothing but the order or the times of files" {
		t.Errorf("%q, %v", said, err)
	}
	if said, err := c.differences(two, "gone"); err == nil {
		t.Errorf("a slug that is not there: %q", said)
	}
}

// What compiles when a stage is asked for compiles it: by the time that is noted, its own release may run.
func TestTheCompilerOfAStageIsNotedWhenItIsAskedFor(t *testing.T) {
	settings := seed.Settings{DataDir: t.TempDir()}
	if _, ok := seed.Asked(settings); ok {
		t.Error("nothing was asked for")
	}
	one := seed.Stage{Number: 1, Slug: "1", Release: 3}
	asked := seed.Stage{Number: 2, By: "compile.1 (v3)", Build: "before"}
	if err := seed.SaveStages(settings, []seed.Stage{one, asked}); err != nil {
		t.Fatal(err)
	}
	if stages, err := seed.Stages(settings); err != nil || len(stages) != 1 || stages[0] != one {
		t.Errorf("stages %+v, %v", stages, err)
	}
	if got, ok := seed.Asked(settings); !ok || got != asked {
		t.Errorf("asked for %+v", got)
	}
}

// A bootstrap goes on where it was stopped, be it before the comparison.
func TestABootstrapGoesOnWithWhatIsMissing(t *testing.T) {
	stages := []seed.Stage{{Number: 1, Slug: "1"}, {Number: 2, Slug: "2"}, {Number: 3, Slug: "2"}}
	compared := []seed.Stage{stages[0], stages[1], {Number: 3, Slug: "2", Compared: true}}
	for _, step := range []struct {
		stages []seed.Stage
		want   string
	}{
		{nil, "Giving Stage Taking Stage Stage Comparing Proving"},
		{stages[:1], "Stage Taking Stage Stage Comparing Proving"},
		{stages[:2], "Stage Taking Stage Stage Comparing Proving"},
		{stages, "Comparing Upgrading Proving"},
		{compared, "Upgrading Proving"},
	} {
		settings := seed.Settings{DataDir: t.TempDir()}
		if err := seed.SaveStages(settings, step.stages); err != nil {
			t.Fatal(err)
		}
		noted, err := seed.Stages(settings)
		if err != nil {
			t.Fatal(err)
		}
		c := &bootstrapCommand{stages: noted}
		var words []string
		for _, s := range c.missing() {
			word, _, _ := strings.Cut(s.what, " ")
			words = append(words, strings.TrimSuffix(word, ":"))
		}
		if got := strings.Join(words, " "); got != step.want {
			t.Errorf("of %d stages: %s, want %s", len(step.stages), got, step.want)
		}
	}
}

func TestTheStageIsSaidInWords(t *testing.T) {
	for want, st := range map[string]*seed.SystemStatus{
		"stage       0: everything runs inside the seed\n":                              {},
		"stage       3: release v5 of commit 0123456789ab, slug fedcba987654\n":         {Stage: 3, Version: 5, Commit: "0123456789abcdef", Slug: "fedcba9876543210"},
		"stage       beyond 3: release v12 of commit 0123456789ab, slug fedcba987654\n": {Stage: 3, Beyond: true, Version: 12, Commit: "0123456789abcdef", Slug: "fedcba9876543210"},
		"stage       1: release v2, slug fedcba987654\n":                                {Stage: 1, Version: 2, Slug: "fedcba9876543210"},
	} {
		if st.Stage > 0 {
			st.Dynos = []seed.SystemDynoStatus{{Name: "api.1"}}
		}
		var out strings.Builder
		if printStage(&out, st); out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	}
}

func TestWhoCompilesIsTheDynoThatTakesBuilds(t *testing.T) {
	var st seed.Status
	if by := compiler(st); by != "the seed's compile" {
		t.Error(by)
	}
	st.System = &seed.SystemStatus{Dynos: []seed.SystemDynoStatus{{Name: "api.1", State: "up", Version: 4},
		{Name: "compile.1", State: "stopping", Version: 3}, {Name: "compile.1", State: "up", Version: 4}, {Name: "compile.2", State: "up", Version: 4}}}
	if by := compiler(st); by != "compile.1 (v4), compile.2 (v4)" {
		t.Error(by)
	}
}

func TestWhatIsLeftOfAPowerCutIsNoDyno(t *testing.T) {
	for name, left := range map[string]bool{"git": true, "runtime": true, "git.1": false, "compile.12": false, seed.Whole: false} {
		if noDyno(seed.Provable{ID: "1", Name: name}) != left {
			t.Errorf("%s: %v", name, !left)
		}
	}
}
