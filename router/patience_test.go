package router

import (
	"net/http/httptest"
	"testing"
	"time"
)

// deadlines is a ResponseWriter that counts the deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	set int
}

func (d *deadlines) SetWriteDeadline(time.Time) error { d.set++; return nil }

// The timer may fire when a write has just ended, and its function run when the handler has returned.
func TestAStreamIsGivenUpOnlyWhileItIsWrittenTo(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	p := newPatience(w, time.Hour)
	p.begin()
	p.end()
	p.giveUp()
	if w.set != 0 || p.gaveUp() {
		t.Error("the ResponseWriter was used after the last write")
	}
	p.begin()
	p.giveUp() // of the write before, late
	if w.set != 0 || p.gaveUp() {
		t.Error("a write that has just begun is given up for the one before it")
	}
	p.setBegan(time.Now().Add(-time.Hour))
	p.giveUp()
	p.end()
	if w.set != 1 || !p.gaveUp() {
		t.Error("a write that takes too long goes on")
	}
}
