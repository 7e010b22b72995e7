package logs

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// entry is a line that a reader gets, and where in the stream it stands. One
// that says that lines are missing stands nowhere: nobody can go on from it.
type entry struct {
	at      cursor
	text    string
	missing int       // lines it says are missing
	since   time.Time // and since when
}

func (e entry) when() time.Time {
	if e.missing > 0 {
		return e.since
	}
	return e.at.time
}

// filter says which lines a session shows; empty fields mean all.
type filter struct {
	source string // "app" or "heroku"
	dyno   string // "web.1", or a type: "web"
}

func (f filter) match(l hoist.LogLine) bool {
	return (f.source == "" || l.Source == f.source) &&
		(f.dyno == "" || l.Dyno == f.dyno || strings.HasPrefix(l.Dyno, f.dyno+"."))
}

// entry makes the reader's line of a message. ok is false for lines that the
// filter hides and for messages that are no lines.
func (f filter) entry(m hoist.Message) (e entry, ok bool) {
	var l hoist.LogLine
	if json.Unmarshal(m.Data, &l) != nil || !valid(l) || !f.match(l) {
		return entry{}, false
	}
	return entry{at: cursorAt(m), text: Format(l)}, true
}
