package api

import (
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// system makes an app that the seed runs, with one compile process.
func (e *env) system(name string) hoist.ID {
	e.t.Helper()
	_, id := e.app(name)
	e.exec(`UPDATE apps SET system = true WHERE id = $1`, id)
	e.exec(`INSERT INTO formation (id, app_id, type, command, quantity, size) VALUES ($1, $2, 'compile', 'x', 1, 'Basic')`, hoist.NewID(), id)
	return id
}

// decide plays the seed once the release is there.
func (e *env) decide(appID hoist.ID, version int, status, reason string) {
	e.t.Helper()
	eventually(e.t, "the release", func() bool {
		tag, err := e.db.Pool.Exec(e.t.Context(), `UPDATE releases SET status = $3, reason = $4
			WHERE app_id = $1 AND version = $2 AND status = 'pending'`, appID, version, status, reason)
		return err == nil && tag.RowsAffected() == 1
	})
}

var oneCompile = map[string]string{"compile": "hoist compile"}

func TestAReleaseOfThePlatformIsWhatTheSeedSaysOfIt(t *testing.T) {
	e := start(t)
	e.server.rolloutNews = 200 * time.Millisecond

	e.run("it is pending until the seed has seen it work, and people see what it waits for", func(t *testing.T, e *env) {
		id := e.system("platform")
		build := e.built(id, oneCompile, nil, "de63889c")
		eventually(t, "the release is pending", func() bool {
			return strings.Contains(string(e.want(200, "GET", "/apps/platform/releases", "").body), `"pending"`)
		})
		time.Sleep(400 * time.Millisecond)
		dyno := hoist.NewID()
		e.exec(`INSERT INTO dynos (id, app_id, release_id, kind, type, number, size, command, state)
			SELECT $2, id, current_release_id, 'formation', 'compile', 1, 'Basic', 'x', 'up' FROM apps WHERE id = $1`, id, dyno)
		e.exec(`INSERT INTO components (id, type) VALUES ($1, 'compile')`, dyno)
		time.Sleep(400 * time.Millisecond)
		e.decide(id, 2, hoist.ReleaseSucceeded, "")
		b, output := e.ended("platform", build)
		contains(t, output, "-----> Launching...\n       waiting for compile to prove itself (",
			"       waiting for the release before to hand over (", "       done, v2\n       The platform runs v2\n")
		if b.text("status") != "succeeded" {
			t.Errorf("%s", b.body)
		}
	})

	e.run("one that failed says why; the build itself succeeded", func(t *testing.T, e *env) {
		id := e.system("broken")
		e.server.rolloutNews = time.Minute
		build := e.built(id, oneCompile, nil, "de63889c")
		e.decide(id, 2, hoist.ReleaseFailed, "compile made no slug of the proof.\nThe platform stays on v1.")
		b, output := e.ended("broken", build)
		contains(t, output, "-----> Launching... failed, v2\n !     compile made no slug of the proof.\n !     The platform stays on v1.\n")
		if b.text("status") != "succeeded" {
			t.Errorf("%s", b.body)
		}
		r := e.want(200, "GET", "/apps/broken/releases/2", "")
		if r.text("status") != "failed" || !strings.HasPrefix(r.text("reason"), "compile made no slug") || r.text("eligible_for_rollback") != "false" {
			t.Errorf("%s", r.body)
		}
		e.want(200, "PATCH", "/apps/broken/config-vars", `{"A":"b"}`)
		e.decide(id, 3, hoist.ReleaseSucceeded, "")
		contains(t, string(e.want(422, "POST", "/apps/broken/releases", `{"release":"2"}`).body), "v2 failed; roll back to one that ran")
	})

	e.run("one that another overtakes has expired, and its push does not wait any more", func(t *testing.T, e *env) {
		id := e.system("overtaken")
		first := e.built(id, oneCompile, nil, "de63889c")
		eventually(t, "the release is there", func() bool {
			return strings.Contains(string(e.want(200, "GET", "/apps/overtaken/releases", "").body), `"pending"`)
		})
		e.want(200, "PATCH", "/apps/overtaken/config-vars", `{"A":"b"}`)
		b, output := e.ended("overtaken", first)
		contains(t, output, "-----> Launching... done, v2\n       v3 has taken its place meanwhile\n")
		if b.text("status") != "succeeded" {
			t.Errorf("%s", b.body)
		}
		r := e.want(200, "GET", "/apps/overtaken/releases/2", "")
		if r.text("status") != "expired" || r.text("reason") != "v3 took its place before it had proven itself." {
			t.Errorf("%s", r.body)
		}
		if r := e.want(200, "GET", "/apps/overtaken/releases/3", ""); r.text("status") != "pending" {
			t.Errorf("%s", r.body)
		}
		e.decide(id, 3, hoist.ReleaseSucceeded, "")
	})

	e.run("the process that waits is replaced, and the next one goes on", func(t *testing.T, e *env) {
		id := e.system("handed")
		build := e.built(id, oneCompile, nil, "de63889c")
		eventually(t, "a process launches it", func() bool {
			var n int
			err := e.db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM builds WHERE id = $1 AND release_id IS NOT NULL`, build).Scan(&n)
			return err == nil && n == 1
		})
		before := e.server
		e.server, e.url = e.process()
		e.stops[before]()
		time.Sleep(300 * time.Millisecond)
		e.decide(id, 2, hoist.ReleaseSucceeded, "")
		b, _ := e.ended("handed", build)
		output := string(e.want(200, "GET", "/apps/handed/builds/"+build+"/result", "").body)
		if b.text("status") != "succeeded" || strings.Count(output, "Launching...") != 1 {
			t.Errorf("%s", output)
		}
		contains(t, output, "Go app detected", "Launching... done, v2")
	})
}

func TestWithoutTheSeedsWordAReleaseOfThePlatformIsNotWaitedForWithoutEnd(t *testing.T) {
	e := start(t)
	e.server.rolloutPatience = time.Second
	id := e.system("silent")
	_, output := e.ended("silent", e.built(id, oneCompile, nil, "de63889c"))
	contains(t, output, " failed, v2\n !     After 1s the seed has not said that the platform runs v2: waiting for compile to prove itself.\n", "hoist seed status")
}

func TestAReleaseOfThePlatformOfWhichNothingRunsIsNotPending(t *testing.T) {
	e := start(t)
	id := e.system("unscaled")
	e.exec(`UPDATE formation SET quantity = 0 WHERE app_id = $1`, id)
	b, output := e.ended("unscaled", e.built(id, oneCompile, nil, "de63889c"))
	contains(t, output, "-----> Launching... done, v2\n")
	if b.text("status") != "succeeded" {
		t.Errorf("%s", b.body)
	}
}
