package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

func TestRemoteURLs(t *testing.T) {
	for _, c := range []struct{ url, host, app string }{
		{"https://git.paas.example/my-app.git", "git.paas.example", "my-app"},
		{"http://git.localhost:8080/my-app.git", "git.localhost", "my-app"},
		{"ssh://git@paas.example:2222/my-app.git", "paas.example", "my-app"},
		{"git@paas.example:my-app.git", "paas.example", "my-app"},
		{"git@PAAS.example:/my-app", "paas.example", "my-app"},
		{"https://user:secret@git.paas.example/my-app.git/", "git.paas.example", "my-app"},
		{"https://github.com/someone/thing.git", "", ""},
		{"/srv/git/my-app.git", "", ""},
		{"file:///srv/git/my-app.git", "", ""},
		{"https://git.paas.example/", "", ""},
		{"", "", ""},
	} {
		r, ok := parseRemote("hoist", c.url)
		if ok != (c.app != "") || r.host != c.host || r.app != c.app {
			t.Errorf("%q: %+v", c.url, r)
		}
	}
}

func FuzzRemotes(f *testing.F) {
	f.Add("remote.hoist.url\nhttps://git.paas.example/my-app.git\x00remote.b.url\ngit@x:my-app\x00")
	f.Add("remote.\n://\x00\n@:\x00")
	f.Fuzz(func(t *testing.T, out string) {
		for _, r := range parseRemotes(out) {
			if !hoist.AppName.MatchString(r.app) || r.host == "" {
				t.Errorf("%q: %+v", out, r)
			}
		}
	})
}

func TestScaleArguments(t *testing.T) {
	for arg, want := range map[string]string{
		"web=2":             `{"type":"web","quantity":2}`,
		"web=0":             `{"type":"web","quantity":0}`,
		"web=+1":            `{"type":"web","quantity":"+1"}`,
		"web+1":             `{"type":"web","quantity":"+1"}`,
		"web-1":             `{"type":"web","quantity":"-1"}`,
		"Worker_2=1":        `{"type":"Worker_2","quantity":1}`,
		"my-worker-2":       `{"type":"my-worker","quantity":"-2"}`,
		"web=2:Standard-1X": `{"type":"web","quantity":2,"size":"Standard-1X"}`,
		"web":               "", "web=": "", "web=x": "", "=2": "", "web=-1": "", "web=2:": "", "web=2.5": "", "web=99999999": "", "web++1": "",
	} {
		got := ""
		if updates, err := parseScale([]string{arg}); err == nil {
			b, _ := json.Marshal(updates[0])
			got = string(b)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", arg, got, want)
		}
	}
	if _, err := parseScale([]string{"web=1", "web=2"}); err == nil {
		t.Error("a type twice")
	}
}

func FuzzScale(f *testing.F) {
	for _, s := range []string{"web=2", "web+1:Eco", "a-1", "web=+0", "\x00=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		updates, err := parseScale([]string{arg})
		if err != nil {
			return
		}
		if b, err := json.Marshal(updates); err != nil || !json.Valid(b) {
			t.Errorf("%q: %s, %v", arg, b, err)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add("A=b=c")
	f.Add("A=\n")
	f.Fuzz(func(t *testing.T, arg string) {
		vars, err := parseConfig([]string{arg})
		if err != nil {
			return
		}
		for name, value := range vars {
			if name+"="+value != arg {
				t.Errorf("%q: %q %q", arg, name, value)
			}
		}
	})
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		10 * time.Hour: "10h", 23*time.Hour + 59*time.Minute: "23h", 24 * time.Hour: "1d", 9*24*time.Hour + 5*time.Hour: "9d",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 2048: "2K", 3 << 19: "1.5M", 13 << 20: "13M", 10 << 30: "10G"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestTheRemoteCommandIsHerokus(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"echo $HOME | wc"}, "echo $HOME | wc"},
		{[]string{"bin/compile", "."}, "bin/compile ."},
		{[]string{"echo", "a b", `say "x"`, ""}, `echo "a b" "say \"x\"" ""`},
		{[]string{"echo", "$HOME"}, "echo $HOME"},
	} {
		if got := RemoteCommand(c.args); got != c.want {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
	}
}

func TestTheAppAtTheEndOfACommand(t *testing.T) {
	for line, want := range map[string]string{
		"bash -a shop":           "shop||bash",
		"bash --app=shop":        "shop||bash",
		"bin/x --all --app shop": "shop||bin/x --all",
		"bash --remote prod":     "|prod|bash",
		"-a other bash -a shop":  "other||bash -a shop",
		"-- bash -a shop":        "||bash -a shop",
		"bash -- -a shop":        "||bash -- -a shop",
		"ls -a /tmp":             "||ls -a /tmp",
		"ls -a .":                "||ls -a .",
		"bash -a":                "||bash -a",
		"grep -r shop":           "||grep -r shop",
		"bash":                   "||bash",
		"bash -a shop -x":        "||bash -a shop -x",
		"-r prod bash -a shop":   "|prod|bash -a shop",
	} {
		o := &oneOff{target: target{CLI: New()}}
		got := ""
		cmd := &cobra.Command{Use: "run", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, args []string) error {
			args = o.take(cmd, args)
			got = o.app + "|" + o.remote + "|" + strings.Join(args, " ")
			return nil
		}}
		o.flags(cmd)
		cmd.SetArgs(strings.Fields(line))
		if err := cmd.Execute(); err != nil {
			t.Error(line, err)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestAPIURLs(t *testing.T) {
	for host, want := range map[string]string{
		"paas.example": "https://api.paas.example", "api.paas.example": "https://api.paas.example",
		"paas.example:8443": "https://api.paas.example:8443", "localhost:8080": "http://api.localhost:8080",
		"http://api.localhost:8080/": "http://api.localhost:8080", "https://API.paas.example": "https://api.paas.example",
		"10.0.0.1": "https://10.0.0.1", "ftp://x": "", "https://a:b@x": "", "": "",
	} {
		got := ""
		if u, err := apiURL(host); err == nil && host != "" {
			got = u.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"config", "config:get", "create", "logs", "ps:scale", "releases"}
	for word, want := range map[string]string{
		"confg": "config", "cofnig": "config", "log": "logs", "ps:scal": "ps:scale", "ps:sclae": "ps:scale",
		"RELEASES": "releases", "frobnicate": "", "x": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

func TestEventsAreReadWhole(t *testing.T) {
	stream := ": hello\n\nid: 1\ndata: one\n\nid: 2\r\ndata: two\r\n\r\ndata: no place\n\nid: 3\ndata: a\ndata: b\n\nid: 4\ndata: half"
	var got []string
	id, err := readEvents(strings.NewReader(stream), "0", func() {}, func(s string) { got = append(got, s) })
	if err != nil || id != "3" || strings.Join(got, "|") != "one|two|no place|a\nb" {
		t.Errorf("%q %q %v", id, got, err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\ndata: x\n\n")
	f.Add(":\n\ndata\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		if _, err := readEvents(strings.NewReader(s), "", func() {}, func(string) { n++ }); err != nil || n > len(s) {
			t.Error(err, n)
		}
	})
}
