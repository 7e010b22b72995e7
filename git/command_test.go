package git

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestCommandLineNamesAServiceAndAnAppOrNothing(t *testing.T) {
	for line, want := range map[string]string{
		"git-upload-pack 'shop.git'":      "upload-pack shop",
		"git-upload-pack '/shop.git'":     "upload-pack shop",
		"git-receive-pack 'shop'":         "receive-pack shop",
		"git receive-pack '/shop.git'":    "receive-pack shop",
		"git-receive-pack shop.git":       "receive-pack shop",
		"git-receive-pack '/shop.git/'":   "receive-pack shop",
		"git-upload-pack 'shop.git":       "",
		"git-upload-pack 'shop/x'":        "",
		"git-upload-pack 'a'\\''b.git'":   "",
		"git-upload-pack 'shop.git'; ls":  "",
		"git-upload-pack '../shop.git'":   "",
		"git-upload-pack '//shop.git'":    "",
		"git-upload-pack 'shop.git.git'":  "",
		"git-upload-pack --strict 'shop'": "",
		"git-upload-archive 'shop.git'":   "",
		"ls":                              "", "git": "", "git-upload-pack": "", "": "",
	} {
		got := ""
		if s, path, err := parseCommand(line); err == nil {
			if name, ok := appName(path); ok {
				got = string(s) + " " + name
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"git-upload-pack 'shop.git'", "git receive-pack /shop", "git-upload-pack '", "git-upload-archive 'x'", "ls; rm"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, path, err := parseCommand(line)
		if err != nil {
			return
		}
		if s != uploadPack && s != receivePack {
			t.Fatalf("service %q", s)
		}
		name, ok := appName(path)
		if ok && (!hoist.AppName.MatchString(name) || strings.ContainsAny(name, "/.'\" ;$\n")) {
			t.Fatalf("app %q", name)
		}
		if text := noSuchApp(path); len(text) > 120 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", text)
		}
	})
}

func TestRefNamesAreValidWhereGitSaysSo(t *testing.T) {
	for _, name := range refNames {
		// As receive-pack asks: what is below refs/ has to be a name itself.
		rest, ok := strings.CutPrefix(name, "refs/")
		git := ok && exec.Command("git", "check-ref-format", rest).Run() == nil
		if got := validRef(name); got != git {
			t.Errorf("%q: %v, git says %v", name, got, git)
		}
	}
}

var refNames = []string{
	"refs/heads/main", "refs/heads/a/b", "refs/heads/a..b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a.lock/b",
	"refs/heads/a.", "refs/heads/a@{b", "refs/heads/@", "refs/heads/a//b", "refs/heads/", "refs/heads", "refs/x", "refs/",
	"HEAD", "main", "refs/heads/a b", "refs/heads/a\x7f", "refs/heads/a\tb", "refs/heads/a~1", "refs/heads/a^", "refs/heads/a:b",
	"refs/heads/a?", "refs/heads/a*", "refs/heads/a[", "refs/heads/a\\b", "refs/heads/-a", "refs/heads/ä", "refs/tags/v1.0",
	"refs/heads/a/", "refs/heads/../../x", "refs/heads/a/.b", "refs/heads/lock", "refs/heads/a.LOCK", "refs/notes/x/@{",
}

func FuzzRefName(f *testing.F) {
	for _, n := range refNames {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if validRef(name) && (strings.Contains(name, "..") || strings.ContainsAny(name, "\n\x00 ") || strings.HasPrefix(name, "/")) {
			t.Fatalf("%q", name)
		}
	})
}

func FuzzUpdates(f *testing.F) {
	f.Add(strings.Repeat("0", 40) + " " + strings.Repeat("a", 40) + " refs/heads/main\n")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		updates, err := parseUpdates(text)
		if err != nil {
			return
		}
		for _, u := range updates {
			if !isObject(u.Old) || !isObject(u.New) || u.Name == "" {
				t.Fatalf("%+v", u)
			}
		}
		checkUpdates(map[string]string{"refs/heads/a": strings.Repeat("a", 40)}, updates)
	})
}

func TestUpdatesThatGitWouldRefuseTooLateAreRefused(t *testing.T) {
	a, b, zero := strings.Repeat("a", 40), strings.Repeat("b", 40), hoist.ZeroObject
	refs := map[string]string{refMain: a, "refs/heads/topic": a}
	for _, c := range []struct {
		want    string // in the error; empty: accepted
		updates []hoist.RefUpdate
	}{
		{"", []hoist.RefUpdate{{Name: refMain, Old: a, New: b}}},
		{"", []hoist.RefUpdate{{Name: "refs/heads/topic", Old: a, New: zero}, {Name: "refs/heads/topic/x", Old: zero, New: b}}},
		{"", []hoist.RefUpdate{{Name: "refs/heads/topic-x", Old: zero, New: b}}},
		{"cannot both exist", []hoist.RefUpdate{{Name: "refs/heads/topic/x", Old: zero, New: b}}},
		{"cannot both exist", []hoist.RefUpdate{{Name: "refs/heads/x/y", Old: zero, New: b}, {Name: "refs/heads/x", Old: zero, New: b}}},
		{"another push", []hoist.RefUpdate{{Name: refMain, Old: b, New: a}}},
		{"another push", []hoist.RefUpdate{{Name: refMain, Old: zero, New: b}}},
		{"twice", []hoist.RefUpdate{{Name: "refs/tags/v", Old: zero, New: b}, {Name: "refs/tags/v", Old: zero, New: a}}},
		{"cannot be deleted", []hoist.RefUpdate{{Name: refMain, Old: a, New: zero}}},
		{"", []hoist.RefUpdate{{Name: refMain, Old: a, New: zero}, {Name: refMaster, Old: zero, New: a}}},
		{"not a name", []hoist.RefUpdate{{Name: "HEAD", Old: zero, New: a}}},
	} {
		err := checkUpdates(refs, c.updates)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.updates, err)
		}
	}
	if len(refs) != 2 {
		t.Error("checkUpdates changed the refs")
	}
}

func TestMainAndMasterAtOnceMustBeOneCommit(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	if d, err := deployOf([]hoist.RefUpdate{{Name: "refs/heads/x", New: b}, {Name: refMaster, New: a}, {Name: refMain, New: a}}); err != nil || d.New != a {
		t.Error(d, err)
	}
	if d, err := deployOf([]hoist.RefUpdate{{Name: refMaster, New: a}, {Name: refMain, New: b}}); err == nil {
		t.Error(d)
	}
}

func TestRestOfTheOutputComesFromTheRow(t *testing.T) {
	var lines []string
	for i := range 400_000 {
		lines = append(lines, fmt.Sprintf("line %d\n", i))
	}
	lines = append(lines, " !     Broken.\n")
	long := strings.Join(lines, "")
	end := long[len(long)-outputKept:]
	for i, c := range []struct {
		streamed       []string
		output, errTxt string
		want           string
	}{
		{nil, "all\n", "", "all\n"},
		{[]string{"a\n"}, "a\nb\n", "", "a\nb\n"},
		{[]string{"a\n"}, "other\n", "", "a\nother\n"},
		{[]string{"a\n"}, "", "Broken.", "a\n\n !     Broken.\n"},
		{[]string{" !     Broken.\n"}, "", "Broken.", " !     Broken.\n"},
		{lines, end, "Broken.", long},
		{lines[:390_000], end, "Broken.", long},
		{lines[:390_000], "", "", strings.Join(lines[:390_000], "")},
	} {
		var said []string
		s := &shown{say: func(text string) { said = append(said, text) }}
		for _, text := range c.streamed {
			s.write(text)
		}
		s.rest(c.output, c.errTxt)
		if got := strings.Join(said, ""); got != c.want {
			t.Errorf("%d: %d bytes, not %d: %.300q", i, len(got), len(c.want), got)
		}
	}
}
