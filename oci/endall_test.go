package oci_test

import (
	"testing"
	"time"

	"github.com/hoist-sh/hoist/oci"
)

// The machine goes off: what can end well does, and what does not want to ends, too.
func TestEndAll(t *testing.T) {
	cfg := config(t)
	e := adopt(t, cfg)
	codes := make(chan int, 2)
	for _, trap := range []string{"trap 'exit 3' TERM", "trap '' TERM"} {
		s := spec(trap + `; echo up; while :; do sleep 0.05; done`)
		start(t, e, s)
		var out lines
		go func() {
			exit, err := e.Watch(t.Context(), s.ID, &out)
			if err != nil {
				t.Error(err)
			}
			codes <- exit.Code
		}()
		out.wait(t, "up")
	}
	begun := time.Now()
	oci.EndAll(t.Context(), []string{cfg.Name}, time.Second)
	if took := time.Since(begun); took < time.Second || took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if a, b := <-codes, <-codes; a+b != 3+137 {
		t.Errorf("they ended with %d and %d", a, b)
	}
}
