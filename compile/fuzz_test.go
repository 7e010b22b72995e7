package compile

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
)

// kept is a bus that keeps what is appended.
type kept struct {
	hoist.Bus
	chunks, lines []string
	t             *testing.T
}

func (k *kept) Append(subject string, data []byte) bool {
	if strings.HasPrefix(subject, hoist.StreamBuilds) {
		var c hoist.BuildChunk
		if err := json.Unmarshal(data, &c); err != nil {
			k.t.Fatal(err)
		}
		k.chunks = append(k.chunks, c.Text)
		return true
	}
	var l hoist.LogLine
	if err := json.Unmarshal(data, &l); err != nil {
		k.t.Fatal(err)
	}
	k.lines = append(k.lines, l.Text)
	return true
}

func (k *kept) Flush(context.Context) error { return nil }

// A build prints what it likes; what becomes of it is text, and all of it.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("-----> ä\r\n\n\x00\xff"), 3)
	f.Add([]byte(strings.Repeat("ä", 20_000)+"\n"), 9_999)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 1 || len(data) > 200*size {
			t.Skip()
		}
		bus := &kept{t: t}
		o := newOutput(bus, hoist.Build{ID: "b", AppID: "a"})
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			o.Write(rest[:n])
			rest = rest[n:]
		}
		o.flush()
		var all strings.Builder
		for _, c := range bus.chunks {
			if len(c) > chunkLimit || !utf8.ValidString(c) {
				t.Errorf("a chunk of %d bytes: %.20q", len(c), c)
			}
			all.WriteString(c)
		}
		if all.String() != o.tail.String() && len(data) < outputLimit {
			t.Error("the row and the stream differ")
		}
		if text := strings.ReplaceAll(string(data), "\x00", ""); utf8.ValidString(text) && all.String() != text {
			t.Errorf("%q became %q", text, all.String())
		}
		for _, l := range bus.lines {
			if len(l) > hoist.LogLineLimit || strings.Contains(l, "\n") {
				t.Errorf("a line of %d bytes: %.20q", len(l), l)
			}
		}
	})
}
