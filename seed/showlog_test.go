package seed

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what ShowLog has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) becomes(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		o.mu.Lock()
		got := o.buf.String()
		o.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// The log of postgres is emptied in its place when it is full, and another file when it is started again.
func TestTheLogOfPostgresIsFollowed(t *testing.T) {
	s := Settings{DataDir: t.TempDir()}
	name := s.file("postgres/postgres.log")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(flags int, text string) {
		t.Helper()
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	put(0, strings.Repeat(strings.Repeat("x", 1023)+"\n", logLimit/1024)+"one\ntwo\n")
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	ended := make(chan error, 1)
	go func() { ended <- ShowLog(ctx, s, &out, "postgres", 2, true) }()
	out.becomes(t, "one\ntwo\n")
	put(os.O_TRUNC, "three\n")
	out.becomes(t, "one\ntwo\nthree\n")
	os.Remove(name)
	put(0, "four\n")
	out.becomes(t, "one\ntwo\nthree\nfour\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if text, err := endOf(name + ".1"); text != nil || err != nil {
		t.Errorf("of no file: %q, %v", text, err)
	}
}
