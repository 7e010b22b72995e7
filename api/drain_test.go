package api

import (
	"bufio"
	"net/http"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

func TestTheOutputOfABuildGoesOnWhileTheProcessDrains(t *testing.T) {
	e := startWith(t, func(c *Config) { c.Drain = 30 * time.Second })
	_, id := e.app("slow")
	build := hoist.NewID()
	e.exec(`INSERT INTO builds (id, app_id, account_id, state, stack) VALUES ($1, $2, $3, 'building', 'debian-12')`, build, id, e.account.ID)
	e.say(build, "before\n")
	b := e.want(200, "GET", "/apps/slow/builds/"+build, "")
	response, err := http.Get(b.text("output_stream_url"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || lines.Text() != "before" {
		t.Fatal(lines.Text(), lines.Err())
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); e.stops[e.server]() }()
	time.Sleep(300 * time.Millisecond)
	// Whom no bell told that it goes is still answered.
	e.want(200, "GET", "/apps/slow", "")
	time.Sleep(hoist.ResyncInterval + 2*time.Second)
	e.say(build, "after\n")
	if !lines.Scan() || lines.Text() != "after" {
		t.Fatal(lines.Text(), lines.Err())
	}
	select {
	case <-stopped:
		t.Error("ended before its streams")
	default:
	}
	e.exec(`UPDATE builds SET state = 'failed', finished_at = now(), output = 'before\nafter\n' WHERE id = $1`, build)
	for lines.Scan() {
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("waits though nothing is under way")
	}
}
