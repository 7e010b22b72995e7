package seed

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLogsOfOneComponent(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("seed", "version", "1")
	l.With("component", "api").Info("serving the API", "url", "http://x y")
	l.Error("starting again", "task", "api", "err", "panic: at\nline 2")
	l.Info("time=x msg=\"a b\" component=git", "dyno", "api.1", "line", true)
	l.Info("stopping", "dyno", "git.2")
	log.WriteString("panic: all is lost\n\ngoroutine 7\n")
	for component, want := range map[string][]string{
		"api":    {"serving the API", "starting again", "hoist[api.1]: time=x msg=\"a b\" component=git\n"},
		"git":    {"stopping", "panic: all is lost", "goroutine 7"},
		"seed":   {"msg=seed"},
		"router": nil,
		"":       {"msg=seed", "serving", "starting", "hoist[api.1]: ", "stopping", "panic: all", "goroutine 7"},
	} {
		for _, piece := range []int{1, 7, log.Len()} {
			var got bytes.Buffer
			f := &logFilter{w: &got, component: component}
			for rest := log.Bytes(); len(rest) > 0; {
				n := min(piece, len(rest))
				f.Write(rest[:n])
				rest = rest[n:]
			}
			lines := strings.Count(strings.ReplaceAll(got.String(), "\n\n", "\n"), "\n")
			if lines != len(want) {
				t.Errorf("%q: %d lines, want %d:\n%s", component, lines, len(want), got.String())
			}
			for _, text := range want {
				if !strings.Contains(got.String(), text) {
					t.Errorf("%q: %q is missing in\n%s", component, text, got.String())
				}
			}
		}
	}
}

func FuzzLogFields(f *testing.F) {
	f.Add(`time=2026-01-01T00:00:00Z level=INFO msg="a \"b\"" dyno=api.1`)
	f.Add(`time=x "=`)
	f.Add("panic: x")
	f.Fuzz(func(t *testing.T, line string) {
		fields, ok := logFields(line)
		if ok != strings.HasPrefix(strings.TrimSuffix(line, "\n"), "time=") {
			t.Errorf("%q: %v", line, ok)
		}
		if ok && len(fields) == 0 {
			t.Errorf("%q: nothing", line)
		}
	})
}
