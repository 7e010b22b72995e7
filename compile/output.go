package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
)

const (
	chunkLimit  = 32 << 10 // bytes of a message on the bus
	outputLimit = 1 << 20  // bytes kept in the build's row
)

// output passes a build's output on to the stream of the build and to the
// app's log, and keeps its end. Only the job's goroutine uses it.
type output struct {
	bus   hoist.Bus
	build hoist.Build
	rest  []byte // the start of a character whose end is to come
	line  []byte // the start of a log line
	tail  tail   // valid UTF-8
}

func newOutput(bus hoist.Bus, b hoist.Build) *output { return &output{bus: bus, build: b} }

// Write takes output of the dyno.
func (o *output) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	n := len(o.rest) - hoist.PartialRune(o.rest)
	o.emit(string(o.rest[:n]))
	o.rest = append(o.rest[:0], o.rest[n:]...)
	return len(p), nil
}

// say adds words of the platform itself.
func (o *output) say(text string) {
	o.flush()
	o.emit(text)
}

// flush passes on what is still held back.
func (o *output) flush() {
	o.emit(string(o.rest))
	o.rest = nil
	if len(o.line) > 0 {
		o.log("app", "build", string(o.line))
		o.line = nil
	}
}

func (o *output) emit(text string) {
	// Neither JSON nor Postgres take all bytes that a program may print.
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "")
	o.tail.add(text)
	for len(text) > 0 {
		n := min(len(text), chunkLimit)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		o.chunk(hoist.BuildChunk{Text: text[:n]})
		o.lines(text[:n])
		text = text[n:]
	}
}

// end closes the stream of the build.
func (o *output) end(state hoist.BuildState) { o.chunk(hoist.BuildChunk{End: state}) }

// sync waits a little for the bus to store what it was given.
func (o *output) sync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	o.bus.Flush(ctx)
}

// chunk slows the build down if the bus cannot keep up, within reason: the
// row keeps the output, too.
func (o *output) chunk(c hoist.BuildChunk) {
	data, err := json.Marshal(c)
	if err != nil {
		return
	}
	if !o.bus.Append(hoist.StreamBuilds+o.build.ID, data) {
		o.sync(context.Background())
		o.bus.Append(hoist.StreamBuilds+o.build.ID, data)
	}
}

func (o *output) lines(text string) {
	o.line = append(o.line, text...)
	for {
		i := bytes.IndexByte(o.line, '\n')
		if i < 0 && len(o.line) <= hoist.LogLineLimit {
			return
		}
		end, next := i, i+1
		if i < 0 || i > hoist.LogLineLimit {
			end = hoist.LogLineLimit
			for !utf8.RuneStart(o.line[end]) {
				end--
			}
			next = end
		}
		o.log("app", "build", string(o.line[:end]))
		o.line = append(o.line[:0], o.line[next:]...)
	}
}

// log adds a line to the app's log.
func (o *output) log(source, dyno, text string) {
	text = strings.TrimRight(text, "\r ")
	if text == "" {
		return
	}
	data, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: source, Dyno: dyno, Text: text})
	if err == nil {
		o.bus.Append(hoist.StreamLogs+o.build.AppID, data)
	}
}

// tail keeps the last outputLimit bytes of a text.
type tail struct{ text []byte }

func (t *tail) add(s string) {
	t.text = append(t.text, s...)
	if len(t.text) > 2*outputLimit {
		t.text = append(t.text[:0], t.text[len(t.text)-outputLimit:]...)
	}
}

// String starts at the start of a line if something was dropped.
func (t *tail) String() string {
	text := t.text
	if len(text) > outputLimit {
		text = text[len(text)-outputLimit:]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	return strings.ToValidUTF8(string(text), "")
}
