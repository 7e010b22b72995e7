package nats

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// send makes messages of entries as an appender that the server keeps waiting does.
func send(all []entry) (sent []*natsgo.Msg) {
	a, s := newAppender(nil, streamLogs), &subject{name: "logs.a", id: "o"}
	for _, e := range all {
		a.push(s, e.at, e.data)
	}
	for _, b := range a.peek(len(all)) {
		sent = append(sent, b.message())
	}
	return sent
}

func TestEntriesGoTogetherAndComeAsTheyWere(t *testing.T) {
	long := strings.Repeat("x", 5000)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint(i))
	}
	for _, c := range []struct {
		name, source string
		texts        []string
		messages     int
	}{
		{"one", "", []string{"a"}, 1},
		{"some", "", []string{"a", "", "b", `{"m":"c"}`}, 1},
		{"with places", "s", []string{"a", "b", "c"}, 1},
		{"empty", "", []string{"", "", ""}, 1},
		{"with line ends", "s", []string{"a\nb", "c", "d", "e\n", "f"}, 4},
		{"long", "", []string{long, long, "a", long}, 3},
		{"too long", "", []string{"a", strings.Repeat("x", 10_000), "b"}, 3},
		{"many", "s", many, 4},
	} {
		var put, got []entry
		for i, text := range c.texts {
			e := entry{origin: "o", number: uint64(i + 1), data: []byte(text)}
			if c.source != "" {
				e.at = hoist.Place{Source: c.source, End: uint64(10 * (i + 1))}
			}
			put = append(put, e)
		}
		sent := send(put)
		for _, m := range sent {
			got = append(got, entries(m.Header, m.Data)...)
		}
		if !reflect.DeepEqual(got, put) {
			t.Errorf("%s: %v came as %v", c.name, put, got)
		}
		if len(sent) != c.messages {
			t.Errorf("%s: %d messages, want %d", c.name, len(sent), c.messages)
		}
	}
}

// Two outputs in one app's log are in messages of their own.
func TestEntriesOfOtherOutputsDoNotGoTogether(t *testing.T) {
	var put []entry
	for i, source := range []hoist.ID{"x", "x", "y", "", "", "x"} {
		e := entry{origin: "o", number: uint64(i + 1), data: []byte("a")}
		if source != "" {
			e.at = hoist.Place{Source: source, End: uint64(i + 1)}
		}
		put = append(put, e)
	}
	var got []entry
	sent := send(put)
	for _, m := range sent {
		got = append(got, entries(m.Header, m.Data)...)
	}
	if len(sent) != 4 || !reflect.DeepEqual(got, put) {
		t.Errorf("%d messages: %v", len(sent), got)
	}
}

// What appending to a bundle must not do: change what was given to another one.
func TestABundleLeavesWhatItWasGivenAlone(t *testing.T) {
	shared := []byte("first|second")
	var b bundle
	b.subject = &subject{}
	b.add(hoist.Place{}, shared[:5])
	b.add(hoist.Place{}, []byte("more"))
	if string(shared) != "first|second" || string(b.data) != "first\nmore" {
		t.Errorf("%q, %q", shared, b.data)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add("o.3", "3", "s.1,2,3", []byte("a\nb\nc"))
	f.Add("o.1", "3", "s.1,2", []byte("a\nb\nc"))
	f.Add("o", "-1", ".", []byte(""))
	f.Add("o.18446744073709551615", "99999999", "s.,", []byte("\n\n"))
	f.Fuzz(func(t *testing.T, id, n, place string, data []byte) {
		h := natsgo.Header{jetstream.MsgIDHeader: {id}, entriesHeader: {n}, placeHeader: {place}}
		var o once
		var parts [][]byte
		for _, e := range entries(h, data) {
			o.take(e)
			parts = append(parts, e.data)
		}
		if got := bytes.Join(parts, []byte{'\n'}); !bytes.Equal(got, data) || len(parts) > 1<<bundleBits {
			t.Errorf("%q came as %d entries, %q", data, len(parts), got)
		}
	})
}
