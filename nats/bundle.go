package nats

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Entries of a subject that wait together go as one message, as storing one costs the server some
// 20 µs, whatever its size. The stream counts messages, so they are smaller than the longest log line:
// what is kept of an app is bounded as it would be without.
const (
	bundleBytes = 8 << 10
	bundleBits  = 8 // of an entry's number in its message

	entriesHeader = "Hoist-Entries" // how many, if there are several: one a line
	// placeHeader says where entries stand in an output that may be read again: "SOURCE.END,END,…".
	placeHeader = "Hoist-Place"
)

// bundle is entries of one subject which are one message of its stream. Once
// sent it stays as it is: the server knows it again by the last entry's number.
type bundle struct {
	subject *subject
	entries int
	last    uint64   // number of the last entry
	source  hoist.ID // of all entries; empty if they have no places
	ends    []uint64
	data    []byte
}

// takes reports whether another entry may go with those there are.
func (b *bundle) takes(at hoist.Place, data []byte) bool {
	return b.entries < 1<<bundleBits && len(b.data)+1+len(data) <= bundleBytes && b.source == at.Source &&
		whole(data) && (b.entries > 1 || whole(b.data))
}

// whole reports whether an entry can be told from its neighbours.
func whole(data []byte) bool { return bytes.IndexByte(data, '\n') < 0 }

// add adds an entry and returns how many bytes more there are.
func (b *bundle) add(at hoist.Place, data []byte) (bytes int) {
	before := len(b.data)
	if b.entries == 0 {
		b.source, b.data = at.Source, slices.Clip(data)
	} else {
		b.data = append(append(b.data, '\n'), data...)
	}
	if b.source != "" {
		b.ends = append(b.ends, at.End)
	}
	b.entries++
	b.last++
	return len(b.data) - before
}

// message is what the server gets.
func (b *bundle) message() *natsgo.Msg {
	m := natsgo.NewMsg(b.subject.name)
	m.Data = b.data
	m.Header.Set(jetstream.MsgIDHeader, b.subject.id+"."+strconv.FormatUint(b.last, 10))
	if b.entries > 1 {
		m.Header.Set(entriesHeader, strconv.Itoa(b.entries))
	}
	if b.source != "" {
		place := append([]byte(b.source), '.')
		for _, end := range b.ends {
			place = append(strconv.AppendUint(place, end, 10), ',')
		}
		m.Header.Set(placeHeader, string(place[:len(place)-1]))
	}
	return m
}

// entry is one of a message's.
type entry struct {
	origin string // of its number; empty if it has none
	number uint64
	at     hoist.Place
	data   []byte
}

// entries are those of a message; of one that is not as message made it, all of it.
func entries(h natsgo.Header, data []byte) []entry {
	parts := [][]byte{data}
	if n, err := strconv.Atoi(h.Get(entriesHeader)); err == nil {
		if lines := bytes.Split(data, []byte{'\n'}); len(lines) == n && n <= 1<<bundleBits {
			parts = lines
		}
	}
	origin, last := cutNumber(h.Get(jetstream.MsgIDHeader))
	source, list, _ := strings.Cut(h.Get(placeHeader), ".")
	ends := strings.Split(list, ",")
	all := make([]entry, len(parts))
	for i, part := range parts {
		e := &all[i]
		e.data = part
		if before := uint64(len(parts) - 1 - i); last > before {
			e.origin, e.number = origin, last-before
		}
		if len(ends) == len(parts) {
			if end, err := strconv.ParseUint(ends[i], 10, 64); err == nil {
				e.at = hoist.Place{Source: source, End: end}
			}
		}
	}
	return all
}

// cutNumber cuts "NAME.NUMBER"; the name is empty if it is not that.
func cutNumber(s string) (name string, n uint64) {
	name, digits, _ := strings.Cut(s, ".")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return "", 0
	}
	return name, n
}
