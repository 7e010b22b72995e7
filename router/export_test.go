package router

import (
	"testing"
	"time"
)

// LookAgain sets how often certificate files are asked for their times.
func LookAgain(t *testing.T, d time.Duration) {
	old := lookAgain
	lookAgain = d
	t.Cleanup(func() { lookAgain = old })
}
