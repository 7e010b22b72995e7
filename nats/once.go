package nats

import (
	"strconv"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// placeHeader says where a message stands in an output that may be read again.
const placeHeader = "Hoist-Place"

// once tells the messages of one stream subject that were stored twice. The
// server recognises them only while it remembers their IDs, which is a time
// that an outage may be longer than. So each is numbered: 1, 2, 3, … by each
// appender for each of its subjects. What comes with an old number is known;
// what comes with too high a number has left the stream before it was read.
type once struct {
	origins map[string]*origin
	places  map[string]uint64 // the last of each output
}

// origin is an appender.
type origin struct {
	last    uint64
	missing map[uint64]bool // numbers before last that may still come: of a batch some may be stored late
}

// take returns how many messages are missing before one, and whether it is to
// be left out as it is known.
func (o *once) take(h natsgo.Header) (missing uint64, known bool) {
	if o.origins == nil {
		o.origins, o.places = map[string]*origin{}, map[string]uint64{}
	}
	if id, n, ok := cutNumber(h.Get(jetstream.MsgIDHeader)); ok {
		from := o.origins[id]
		switch {
		case from == nil:
			o.origins[id] = &origin{last: n}
		case from.missing[n]:
			delete(from.missing, n)
			return 0, false
		case n <= from.last:
			return 0, true
		default:
			missing = n - from.last - 1
			from.skip(missing)
			from.last = n
		}
	}
	if source, end, ok := cutNumber(h.Get(placeHeader)); ok {
		if end <= o.places[source] {
			return missing, true
		}
		o.places[source] = end
	}
	return missing, false
}

// skip notes that n numbers after the last are missing.
func (o *origin) skip(n uint64) {
	if n == 0 || n > appendBatch {
		return
	}
	if o.missing == nil || len(o.missing) > 2*appendBatch {
		o.missing = map[uint64]bool{}
	}
	for i := range n {
		o.missing[o.last+1+i] = true
	}
}

// cutNumber cuts "NAME.NUMBER".
func cutNumber(s string) (name string, n uint64, ok bool) {
	name, digits, ok := strings.Cut(s, ".")
	if !ok {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return name, n, err == nil
}
