package nats

import "testing"

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
		{id: "a.8"},
		{id: "a.8", known: true},
		{id: "a.10"},
		{id: "a.20", missing: 9},
		{id: "a.15"}, // late, others before and after it too
		{id: "a.11"},
		{id: "a.19"},
		{id: "a.15", known: true},
		{id: "a.14"},
		{id: "a.1000000", missing: 999979},
		{id: "a.5000", known: true},
		{id: "a.1000001", place: "x.100"},
		{id: "a.1000002", place: "x.100", known: true},
		{id: "a.1000003", place: "y.50"},
		{id: "b.2", place: "x.90", known: true},
		{id: "b.4", place: "x.110", missing: 1},
		{id: "b.3", place: "x.105"}, // late, and not appended again
		{id: "6ba7b810x1", place: ""},
		{id: "6ba7b810x1", place: ""}, // a release before this one numbered otherwise
	} {
		var e entry
		e.origin, e.number = cutNumber(c.id)
		e.at.Source, e.at.End = cutNumber(c.place)
		if missing, known := o.take(e); missing != c.missing || known != c.known {
			t.Errorf("%d: %s %s: %d missing, known %v", i, c.id, c.place, missing, known)
		}
	}
}

// Gaps that stay are not remembered for ever.
func TestOnceIsBounded(t *testing.T) {
	var o once
	for i := range 1_000_000 {
		o.take(entry{origin: "a", number: uint64(1 + 2*i)})
	}
	if n := len(o.origins["a"].gaps); n > appendBatch {
		t.Errorf("%d gaps remembered", n)
	}
}
