package logs

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hoist-sh/hoist"
)

// How many readers there are at once: of one process, and, so that no user has it alone, of one
// app and of one session.
const (
	readerLimit  = 2000
	appLimit     = 100
	sessionLimit = 20
)

// places counts the readers by app and by session.
type places struct {
	mu    sync.Mutex
	taken map[hoist.ID]int
}

// take gives a reader its place until leave is called; tooMany says, for people, of what there are too many.
func (p *places) take(session hoist.LogSession) (leave func(), tooMany string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken[session.ID] >= sessionLimit:
		return nil, fmt.Sprintf("%d readers have this log session, which is the limit. End one, or make another session.", sessionLimit)
	case p.taken[session.AppID] >= appLimit:
		return nil, fmt.Sprintf("%d readers have the logs of this app, which is the limit. End one and try again.", appLimit)
	}
	p.add(session, 1)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.add(session, -1)
	}, ""
}

func (p *places) add(session hoist.LogSession, n int) {
	for _, id := range []hoist.ID{session.ID, session.AppID} {
		if p.taken[id] += n; p.taken[id] == 0 {
			delete(p.taken, id)
		}
	}
}

// Bytes of history that readers hold until they have taken it: each may hold so much, and beyond
// that what is left of the memory for all.
const (
	historyFree   = 256 << 10
	historyMemory = 128 << 20
)

// history is what one reader is given first. When there is no memory for all of it, the oldest
// lines are left out and the reader is told so.
type history struct {
	memory *atomic.Int64 // bytes left for all
	held   int           // of them by this reader
	bytes  int
	lines  []entry
	out    int // how many of the first lines are left out: their text is gone
}

// add adds a line, of which the last n are wanted.
func (h *history) add(e entry, n int) {
	h.lines, h.bytes = append(h.lines, e), h.bytes+len(e.text)
	for len(h.lines) > n {
		h.bytes -= len(h.lines[0].text)
		h.lines[0] = entry{}
		h.lines, h.out = h.lines[1:], max(h.out-1, 0)
	}
	for h.bytes > historyFree+h.held && !h.hold(h.bytes-historyFree-h.held) {
		oldest := &h.lines[h.out]
		h.bytes -= len(oldest.text)
		oldest.text = ""
		h.out++
	}
}

// hold takes more of the memory for all, unless there is too little.
func (h *history) hold(n int) bool {
	if h.memory.Add(-int64(n)) < 0 {
		h.memory.Add(int64(n))
		return false
	}
	h.held += n
	return true
}

// entries is what the reader gets.
func (h *history) entries() []entry {
	if h.out == 0 {
		return h.lines
	}
	lines := 0
	for _, e := range h.lines[:h.out] {
		lines += max(e.missing, 1)
	}
	kept := h.lines[h.out:] // never none: one line is less than each may hold
	return append([]entry{leftOut(kept[0].when(), lines, h.lines[0].when())}, kept...)
}

// free gives the memory back.
func (h *history) free() {
	h.memory.Add(int64(h.held))
	*h = history{memory: h.memory}
}
