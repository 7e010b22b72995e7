package api

import (
	"fmt"
	"testing"
)

func TestLimitsRememberWhoAsksAndForgetTheRest(t *testing.T) {
	l := newLimiters(0, 2)
	for i := range 5 * recentMost {
		if _, ok := l.allow(fmt.Sprint("stranger ", i)); !ok {
			t.Fatal("somebody new is refused")
		}
		if _, ok := l.allow("guesser"); ok != (i < 2) {
			t.Fatalf("attempt %d: %v", i, ok)
		}
	}
	if n := len(l.recent) + len(l.earlier); n > 2*recentMost {
		t.Errorf("%d keys are remembered", n)
	}
}
