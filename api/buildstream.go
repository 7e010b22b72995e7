package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// outputKept is how much of the end of a build's output is kept in the
// database, in bytes.
const outputKept = 1 << 20

// busPatience is how long to wait for the bus where it is not needed.
const busPatience = 2 * time.Second

// buildStream is the output of a build on the bus.
type buildStream struct {
	bus  hoist.Bus
	id   hoist.ID
	said strings.Builder // by api, from "Launching..." on; what compile said is in the database
}

func (o *buildStream) print(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	o.said.WriteString(text)
	o.append(hoist.BuildChunk{Text: text})
}

func (o *buildStream) append(chunk hoist.BuildChunk) {
	data, err := json.Marshal(chunk)
	if err == nil {
		o.bus.Append(hoist.StreamBuilds+o.id, data)
	}
}

// end writes the last chunk and waits until it is stored.
func (o *buildStream) end(ctx context.Context, state hoist.BuildState) {
	o.append(hoist.BuildChunk{End: state})
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	o.bus.Flush(ctx)
}

// resume finds out what was said by the process that launched the build before
// this one, and reports whether there is anything.
func (o *buildStream) resume(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	stream, err := o.bus.Tail(ctx, hoist.StreamBuilds+o.id, false)
	if err != nil {
		return false
	}
	for m := range stream {
		var chunk hoist.BuildChunk
		switch err := json.Unmarshal(m.Data, &chunk); {
		case err != nil:
		case chunk.Text == launching:
			o.said.Reset()
			o.said.WriteString(launching)
		case o.said.Len() > outputKept: // it was the app's build that said so
			o.said.Reset()
		case o.said.Len() > 0:
			o.said.WriteString(chunk.Text)
		}
	}
	return o.said.Len() > 0
}

// lastBytes cuts the beginning of a text that has more than n bytes, at a line
// where there is one. The database takes no NUL and no broken UTF-8.
func lastBytes(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "")
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 && i < len(s)-1 {
		return s[i+1:]
	}
	return strings.ToValidUTF8(s, "")
}
