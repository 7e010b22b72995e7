package logs

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/hoist-sh/hoist"
)

// timeFormat is RFC 3339 with microseconds and a numeric zone, which is always
// +00:00.
const timeFormat = "2006-01-02T15:04:05.000000-07:00"

// lineEnds may not stand inside a line: a dyno that could write them could
// forge the router's lines.
var lineEnds = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", " ")

// Format writes a line as people and the Heroku CLI read it, without a line
// end: "2011-09-18T13:20:00.123456+00:00 app[web.1]: text"
// (https://devcenter.heroku.com/articles/logging#log-format).
func Format(l hoist.LogLine) string {
	var b strings.Builder
	b.Grow(len(timeFormat) + len(l.Source) + len(l.Dyno) + len(l.Text) + 5)
	b.WriteString(l.Time.UTC().Format(timeFormat))
	b.WriteByte(' ')
	b.WriteString(l.Source)
	b.WriteByte('[')
	b.WriteString(l.Dyno)
	b.WriteString("]: ")
	b.WriteString(lineEnds.Replace(strings.ToValidUTF8(strings.TrimRight(l.Text, "\r\n"), "\uFFFD")))
	return b.String()
}

var errNotALine = errors.New("not a log line")

// Parse reads what Format wrote.
func Parse(s string) (hoist.LogLine, error) {
	stamp, rest, ok := strings.Cut(s, " ")
	if !ok {
		return hoist.LogLine{}, errNotALine
	}
	t, err := time.Parse(timeFormat, stamp)
	if err != nil {
		return hoist.LogLine{}, errNotALine
	}
	head, text, ok := strings.Cut(rest, "]: ")
	source, dyno, ok2 := strings.Cut(head, "[")
	l := hoist.LogLine{Time: t.UTC(), Source: source, Dyno: dyno, Text: text}
	if !ok || !ok2 || !valid(l) {
		return hoist.LogLine{}, errNotALine
	}
	return l, nil
}

// valid reports whether a line says where it is from.
func valid(l hoist.LogLine) bool {
	return word(l.Source) && word(l.Dyno) && !l.Time.IsZero() && l.Time.Year() >= 1 && l.Time.Year() <= 9999
}

func word(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '[' || r == ']' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r)
	})
}
