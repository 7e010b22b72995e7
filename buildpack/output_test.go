package buildpack

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

type lockedBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func TestASilentStepSaysThatItIsStillRunning(t *testing.T) {
	var to lockedBuffer
	o := NewOutput(&to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Step("Running: go install -tags heroku ./...")
	go o.Watch(ctx, 200*time.Millisecond)
	for range 4 { // it says something: no reminder
		time.Sleep(100 * time.Millisecond)
		o.Info("a package")
	}
	to.Lock()
	if strings.Contains(to.String(), "still running") {
		t.Errorf("%s", to.String())
	}
	to.Unlock()
	time.Sleep(350 * time.Millisecond)
	o.Begin("Compressing...")
	time.Sleep(350 * time.Millisecond)
	o.End(" done, %s", "5M")
	cancel()
	to.Lock()
	defer to.Unlock()
	got := to.String()
	for _, want := range []string{"       still running: go install -tags heroku ./... (1s)\n", "-----> Compressing...\n       still running: Compressing (0s)\n", "\n       done, 5M\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
