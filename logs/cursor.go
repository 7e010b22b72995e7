package logs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// cursor is a place in a stream: the last message that was seen. Its text is
// the id of a server-sent event, by which a reader that lost its connection
// goes on.
//
// The sequence says what comes later. The time is beside it because a bus that
// lost its end in a power cut gives the same numbers again: to other messages,
// which are later all the same.
type cursor struct {
	seq  uint64
	time time.Time
}

// seen reports whether m is not after the cursor.
func (c cursor) seen(m hoist.Message) bool {
	return m.Seq <= c.seq && !m.Time.After(c.time)
}

func cursorAt(m hoist.Message) cursor { return cursor{m.Seq, m.Time} }

func (c cursor) String() string { return fmt.Sprintf("%d-%d", c.seq, c.time.UnixNano()) }

// parseCursor reads a Last-Event-ID header; ok is false if it is not ours.
func parseCursor(s string) (c cursor, ok bool) {
	seq, ns, ok := strings.Cut(s, "-")
	if !ok {
		return cursor{}, false
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	t, err2 := strconv.ParseInt(ns, 10, 64)
	if err != nil || err2 != nil {
		return cursor{}, false
	}
	return cursor{n, time.Unix(0, t)}, true
}
