package logs

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

func TestASessionHasSoManyReaders(t *testing.T) {
	w := newWorld(t)
	token := w.session(hoist.LogSession{Tail: true}, time.Minute)
	var last io.Closer
	for range sessionLimit {
		res := w.open(token)
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		last = res.Body
	}
	res := w.open(token)
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 429 || !strings.Contains(string(body), "20 readers have this log session") {
		t.Errorf("%s %s", res.Status, body)
	}
	if res := w.open(w.session(hoist.LogSession{Tail: true}, time.Minute)); res.StatusCode != 200 {
		t.Errorf("another session: %s", res.Status)
	}
	last.Close()
	for deadline := time.Now().Add(20 * time.Second); w.open(token).StatusCode != 200; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a place that was left is not free")
		}
	}
}

func TestAnAppHasSoManyReaders(t *testing.T) {
	p := places{taken: map[hoist.ID]int{}}
	var leave func()
	for i := range appLimit {
		var tooMany string
		if leave, tooMany = p.take(hoist.LogSession{ID: string(rune('a' + i%26)), AppID: "app"}); tooMany != "" {
			t.Fatal(tooMany)
		}
	}
	if _, tooMany := p.take(hoist.LogSession{ID: "another", AppID: "app"}); !strings.Contains(tooMany, "of this app") {
		t.Error(tooMany)
	}
	if _, tooMany := p.take(hoist.LogSession{ID: "another's", AppID: "another"}); tooMany != "" {
		t.Error(tooMany)
	}
	leave()
	if _, tooMany := p.take(hoist.LogSession{ID: "another", AppID: "app"}); tooMany != "" {
		t.Error(tooMany)
	}
}

// Readers of long histories who take nothing use up what there is for all; the next one gets the
// end of its history, and is told.
func TestHistoriesTakeNoMoreThanThereIs(t *testing.T) {
	var memory atomic.Int64
	memory.Store(1 << 20)
	read := func() *history {
		h := &history{memory: &memory}
		for i := range 200 {
			h.add(entry{at: cursor{uint64(i), stamp.Add(time.Duration(i) * time.Second)}, text: strings.Repeat("x", hoist.LogLineLimit)}, 150)
		}
		return h
	}
	first := read()
	if first.bytes <= historyFree || first.bytes > historyFree+1<<20 || first.out == 0 {
		t.Errorf("%d bytes, %d lines left out", first.bytes, first.out)
	}
	second := read()
	got := second.entries()
	if n := historyFree / hoist.LogLineLimit; len(got) != n+1 || got[n].at.seq != 199 ||
		!strings.Contains(got[0].text, fmt.Sprintf(": %d lines since %s are", 150-n, stamp.Add(50*time.Second).Format(timeFormat))) {
		t.Errorf("%d lines, not %d; the first: %.200s", len(got), n+1, got[0].text)
	}
	first.free()
	second.free()
	if left := memory.Load(); left != 1<<20 {
		t.Errorf("%d bytes are left", left)
	}
	short := &history{memory: &memory}
	for range 200 {
		short.add(entry{text: "x"}, 150)
	}
	if got := short.entries(); len(got) != 150 || memory.Load() != 1<<20 {
		t.Errorf("%d lines", len(got))
	}
}
