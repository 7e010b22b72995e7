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
	said strings.Builder // what was written here, should the bus be away
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

// read returns the whole output so far, also that of others, or its last
// outputKept bytes.
func (o *buildStream) read(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	o.bus.Flush(ctx)
	var text strings.Builder
	stream, err := o.bus.Tail(ctx, hoist.StreamBuilds+o.id, allChunks, false)
	if err == nil {
		for m := range stream {
			var chunk hoist.BuildChunk
			if json.Unmarshal(m.Data, &chunk) == nil {
				text.WriteString(chunk.Text)
			}
		}
	}
	if text.Len() < o.said.Len() {
		return o.said.String()
	}
	return lastBytes(text.String(), outputKept)
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
