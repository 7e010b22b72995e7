package logs

import (
	"bufio"
	"net/http"
	"time"
)

// writer writes lines to one reader: as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html) or as plain text.
type writer struct {
	http   http.ResponseWriter
	ctl    *http.ResponseController
	buf    *bufio.Writer
	events bool
}

func newWriter(w http.ResponseWriter, r *http.Request) *writer {
	return &writer{w, http.NewResponseController(w), bufio.NewWriter(w), wantsEvents(r)}
}

// open sends the headers, so that the reader knows that it is connected.
func (w *writer) open() error {
	h := w.http.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if w.events {
		h.Set("Content-Type", "text/event-stream")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.http.WriteHeader(http.StatusOK)
	return w.flush()
}

func (w *writer) write(entries []entry) error {
	for _, e := range entries {
		// The deadline is for each line: a slow reader of much is not a dead one.
		w.ctl.SetWriteDeadline(time.Now().Add(writePatience))
		if w.events {
			w.id(e.at)
			w.buf.WriteString("data: ")
		}
		w.buf.WriteString(e.text)
		if w.events {
			w.buf.WriteByte('\n')
		}
		if err := w.buf.WriteByte('\n'); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return w.flush()
}

// place tells a reader who gets no lines where to go on; plain text does not.
func (w *writer) place(at cursor) error {
	if !w.events || at == (cursor{}) {
		return nil
	}
	w.id(at)
	w.buf.WriteByte('\n')
	return w.flush()
}

// id writes the place of an event that has one.
func (w *writer) id(at cursor) {
	if at != (cursor{}) {
		w.buf.WriteString("id: ")
		w.buf.WriteString(at.String())
		w.buf.WriteByte('\n')
	}
}

// comment is a sign of life; plain text has none.
func (w *writer) comment(text string) error {
	if !w.events {
		return nil
	}
	w.buf.WriteString(": ")
	w.buf.WriteString(text)
	w.buf.WriteString("\n\n")
	return w.flush()
}

func (w *writer) flush() error {
	w.ctl.SetWriteDeadline(time.Now().Add(writePatience))
	if err := w.buf.Flush(); err != nil {
		return err
	}
	return w.ctl.Flush()
}
