package seed

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

// logFilter passes on the lines of a log that a component wrote, all for none, and shows
// those of dynos as logs of apps are shown.
type logFilter struct {
	w         io.Writer
	component string
	half      []byte // a line without its end
	passing   bool   // the last line passed; one that goes on from it does too
}

// Write takes any pieces of the log.
func (f *logFilter) Write(p []byte) (int, error) {
	text := append(f.half, p...)
	end := bytes.LastIndexByte(text, '\n') + 1
	f.half = slices.Clone(text[end:])
	_, err := f.w.Write(f.pick(text[:end]))
	return len(p), err
}

// pick returns what passes of whole lines.
func (f *logFilter) pick(text []byte) []byte {
	var picked []byte
	for line := range bytes.Lines(text) {
		if fields, ok := logFields(string(line)); ok {
			f.passing = f.component == "" || writer(fields) == f.component
			if dyno := fields["dyno"]; dyno != "" && isDynoLine(fields) {
				line = []byte(fields["time"] + " " + hoist.SystemApp + "[" + dyno + "]: " + clean(fields["msg"]) + "\n")
			}
		}
		if f.passing || f.component == "" {
			picked = append(picked, line...)
		}
	}
	return picked
}

// isDynoLine tells what a dyno wrote from what the seed says of a dyno.
func isDynoLine(fields map[string]string) bool { return fields["line"] == "true" }

// writer is the component that wrote a line, a part of the ground, or "seed".
func writer(fields map[string]string) string {
	for _, name := range []string{fields["component"], typeOf(fields["dyno"]), fields["task"]} {
		if name != "" {
			return name
		}
	}
	return "seed"
}

// logFields reads a line of slog.TextHandler, NAME=VALUE with quoted values where
// needed. Others (a panic's, of the runtime) are not ok: they belong to the line before.
func logFields(line string) (fields map[string]string, ok bool) {
	line = strings.TrimSuffix(line, "\n")
	if !strings.HasPrefix(line, "time=") {
		return nil, false
	}
	fields = map[string]string{}
	for line != "" {
		name, rest, found := strings.Cut(line, "=")
		if !found {
			break
		}
		value := ""
		if quoted, err := strconv.QuotedPrefix(rest); err == nil && strings.HasPrefix(rest, `"`) {
			value, _ = strconv.Unquote(quoted)
			rest = rest[len(quoted):]
		} else if value, _, found = strings.Cut(rest, " "); found {
			rest = rest[len(value):]
		} else {
			rest = ""
		}
		if _, twice := fields[name]; !twice {
			fields[name] = value
		}
		line = strings.TrimPrefix(rest, " ")
	}
	return fields, true
}
