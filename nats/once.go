package nats

import "slices"

// once tells the entries of one stream subject that were stored twice. The
// server recognises messages only while it remembers their IDs, which is a time
// that an outage may be longer than. So each entry is numbered: 1, 2, 3, … by each
// appender for each of its subjects. What comes with an old number is known;
// what comes with too high a number has left the stream before it was read.
type once struct {
	origins map[string]*origin
	places  map[string]uint64 // the last of each output
}

// origin is an appender.
type origin struct {
	last uint64
	gaps []gap // numbers before last that may still come: of a batch some may be stored late
}

type gap struct{ from, to uint64 } // without to

// take returns how many entries are missing before one, and whether it is to
// be left out as it is known.
func (o *once) take(e entry) (missing uint64, known bool) {
	if o.origins == nil {
		o.origins, o.places = map[string]*origin{}, map[string]uint64{}
	}
	if n := e.number; e.origin != "" {
		from := o.origins[e.origin]
		switch {
		case from == nil:
			o.origins[e.origin] = &origin{last: n}
		case n <= from.last:
			return 0, !from.late(n)
		default:
			missing = n - from.last - 1
			from.skip(n)
		}
	}
	if e.at.Source != "" {
		if e.at.End <= o.places[e.at.Source] {
			return missing, true
		}
		o.places[e.at.Source] = e.at.End
	}
	return missing, false
}

// skip goes on to number n, and notes those between.
func (o *origin) skip(n uint64) {
	if skipped := n - o.last - 1; skipped > 0 && skipped <= appendBatch<<bundleBits {
		if len(o.gaps) == appendBatch {
			o.gaps = slices.Delete(o.gaps, 0, 1)
		}
		o.gaps = append(o.gaps, gap{o.last + 1, n})
	}
	o.last = n
}

// late reports whether a number is in a gap, which then no longer has it.
func (o *origin) late(n uint64) bool {
	for i, g := range o.gaps {
		if n < g.from || n >= g.to {
			continue
		}
		var left []gap
		if g.from < n {
			left = append(left, gap{g.from, n})
		}
		if n+1 < g.to {
			left = append(left, gap{n + 1, g.to})
		}
		o.gaps = slices.Replace(o.gaps, i, i+1, left...)
		return true
	}
	return false
}
