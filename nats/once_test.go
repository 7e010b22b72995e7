package nats

import (
	"fmt"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestOnce(t *testing.T) {
	var o once
	for i, c := range []struct {
		id, place string
		missing   uint64
		known     bool
	}{
		{id: "a.5"}, // what came before was not for us
		{id: "a.6"},
		{id: "a.6", known: true},
		{id: "a.4", known: true},
		{id: "b.1"},
		{id: "a.9", missing: 2},
		{id: "a.7"}, // late
		{id: "a.7", known: true},
		{id: "a.10"},
		{id: "a.10000", missing: 9989},
		{id: "a.5000", known: true},
		{id: "a.10001", place: "x.100"},
		{id: "a.10002", place: "x.100", known: true},
		{id: "a.10003", place: "y.50"},
		{id: "b.2", place: "x.90", known: true},
		{id: "b.4", place: "x.110", missing: 1},
		{id: "b.3", place: "x.105"}, // late, and not appended again
		{id: "6ba7b810x1", place: ""},
		{id: "6ba7b810x1", place: ""}, // a release before this one numbered otherwise
	} {
		h := natsgo.Header{}
		if c.id != "" {
			h.Set(jetstream.MsgIDHeader, c.id)
		}
		if c.place != "" {
			h.Set(placeHeader, c.place)
		}
		if missing, known := o.take(h); missing != c.missing || known != c.known {
			t.Errorf("%d: %s %s: %d missing, known %v", i, c.id, c.place, missing, known)
		}
	}
}

// Gaps that stay are not remembered for ever.
func TestOnceIsBounded(t *testing.T) {
	var o once
	for i := range 1_000_000 {
		o.take(natsgo.Header{jetstream.MsgIDHeader: {fmt.Sprintf("a.%d", 1+2*i)}})
	}
	if n := len(o.origins["a"].missing); n > 4*appendBatch {
		t.Errorf("%d numbers remembered", n)
	}
}
