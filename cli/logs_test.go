package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// TestATailGoesOnAcrossConnectionsAndSessions cuts a tail in the ways it can
// be: no line may be lost or printed twice.
func TestATailGoesOnAcrossConnectionsAndSessions(t *testing.T) {
	const line = "2026-11-22T13:00:00.000000+00:00 app[web.1]: %d"
	var mu sync.Mutex
	var places []string
	sessions := 0
	ctx, cancel := context.WithCancel(t.Context())
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			mu.Lock()
			sessions++
			fmt.Fprintf(w, `{"logplex_url":"%s/streams/%d?tail=true"}`, srv.URL, sessions)
			mu.Unlock()
			return
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the token was sent to the log's host")
		}
		mu.Lock()
		places = append(places, r.URL.Path+" "+r.Header.Get("Last-Event-ID"))
		n := len(places)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		switch n {
		case 1: // ends within the third line
			fmt.Fprintf(w, "id: a\ndata: "+line+"\n\nid: b\ndata: "+line+"\n\nid: c\ndata: 2026", 1, 2)
		case 2:
			w.WriteHeader(503)
			io.WriteString(w, "waiting for the message bus")
		case 3:
			w.WriteHeader(404)
		default:
			fmt.Fprintf(w, ": alive\n\nid: c\ndata: "+line+"\n\n", 3)
			w.(http.Flusher).Flush()
			cancel()
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	env := map[string]string{"HOIST_HOST": srv.URL, "HOIST_API_KEY": "t", "HOME": t.TempDir(), "HOIST_APP": "demo"}
	var out, errs bytes.Buffer
	c := &CLI{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(n string) string { return env[n] }, Now: time.Now}
	root := &cobra.Command{Use: "hoist"}
	root.AddCommand(c.Commands()...)
	if code := c.Execute(ctx, root, []string{"logs", "--tail"}); code != 130 {
		t.Error("exit code", code)
	}
	want := fmt.Sprintf(line+"\n"+line+"\n", 1, 2)
	if got := out.String(); got != want && got != want+fmt.Sprintf(line+"\n", 3) {
		t.Errorf("printed\n%s", got)
	}
	if got := strings.Join(places, "|"); got != "/streams/1 |/streams/1 b|/streams/1 b|/streams/2 b" {
		t.Errorf("asked for %s", got)
	}
	if got := errs.String(); got != " !    The log is away (waiting for the message bus). Waiting for it.\n" {
		t.Errorf("said %q", got)
	}
}

func TestDynosHaveColoursOfTheirOwn(t *testing.T) {
	var out bytes.Buffer
	l := &logsCommand{target: target{CLI: &CLI{Out: &out}}, colours: true}
	l.line("2026-11-22T13:00:00.000000+00:00 app[web.1]: hello: [x]")
	l.line("no log line")
	got := out.String()
	if !strings.Contains(got, "2026-11-22T13:00:00.000000+00:00 app[web.1]: \x1b[0mhello: [x]\nno log line\n") || !strings.HasPrefix(got, "\x1b[") {
		t.Errorf("%q", got)
	}
}
