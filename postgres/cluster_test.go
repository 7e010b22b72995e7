package postgres

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// started is a server in a directory of the test's own, ended with the test.
func started(t *testing.T) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-pg")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o711)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir + "/pg", Password: "se cret", Mortal: true}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return s
}

func (s *Server) ready(t *testing.T, roles ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	passwords := map[string]string{}
	for _, r := range roles {
		passwords[r] = "test"
	}
	if err := s.Ready(ctx, passwords); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogOfTheServerIsBounded(t *testing.T) {
	s := started(t)
	s.ready(t)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	said := func(text string) bool {
		log, err := os.ReadFile(s.logFile())
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(log, []byte(text))
	}
	if _, err := conn.Exec(t.Context(), `SELECT 'secret'::integer -- and more of what was sent`); err == nil {
		t.Fatal("no error")
	}
	if !said("invalid input syntax") || said("and more of what was sent") {
		t.Error("it does not say the error, or says the statement")
	}
	f, err := os.OpenFile(s.logFile(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Repeat(strings.Repeat("x", 1023)+"\n", logLimit/1024) + "FATAL:  the last line\n"); err != nil {
		t.Fatal(err)
	}
	if why := s.why(); !strings.HasPrefix(why, "the last line (") {
		t.Errorf("why: %.100s", why)
	}
	if err := s.boundLog(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(s.logFile() + ".1"); err != nil || st.Size() != logLimit {
		t.Errorf("the log before: %+v, %v", st, err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT 'another'::integer`); err == nil {
		t.Fatal("no error")
	}
	if st, err := os.Stat(s.logFile()); err != nil || st.Size() > 1024 || !said(`"another"`) {
		t.Errorf("the log now: %+v, %v", st, err)
	}
}
