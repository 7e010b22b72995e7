package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// built makes a build of an app as git and compile leave it: built, with its
// slug and the ref it moves.
func (e *env) built(appID hoist.ID, types map[string]string, push *hoist.Push, commit string) hoist.ID {
	e.t.Helper()
	slug, build := hoist.NewID(), hoist.NewID()
	e.exec(`INSERT INTO slugs (id, app_id, blob_key, sha256, size, process_types, buildpack_provided, ready) VALUES ($1, $2, $3, 'abc', 7, $4, 'Go', true)`,
		slug, appID, "slugs/"+appID+"/"+slug, types)
	e.say(build, "-----> Go app detected\n")
	e.exec(`INSERT INTO builds (id, app_id, account_id, state, stack, source_version, push, slug_id, output)
		VALUES ($1, $2, $3, 'built', 'debian-12', $4, $5, $6, E'-----> Go app detected\n')`,
		build, appID, e.account.ID, commit, push, slug)
	e.bus.Ring(hoist.BellBuild, nil)
	return build
}

func (e *env) say(build hoist.ID, text string) {
	chunk, _ := json.Marshal(hoist.BuildChunk{Text: text})
	e.bus.Append(hoist.StreamBuilds+build, chunk)
}

// dynos plays runtime: whenever a release wants web dynos, rows appear in a
// state.
func (e *env) dynos(appID hoist.ID, state hoist.DynoState, reason string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, 20*time.Millisecond) {
			_, err := e.db.Pool.Exec(ctx, `
				WITH old AS (
					UPDATE dynos d SET want = 'restart' FROM apps a
					WHERE d.app_id = $1 AND a.id = $1 AND d.release_id <> a.current_release_id AND d.want = 'up' RETURNING d.id)
				INSERT INTO dynos (id, app_id, release_id, kind, type, number, size, command, state, reason)
				SELECT gen_random_uuid(), a.id, a.current_release_id, 'formation', 'web', 1, 'Basic', 'x', $2, $3
				FROM apps a JOIN formation f ON f.app_id = a.id AND f.type = 'web' AND f.quantity > 0
				WHERE a.id = $1 AND NOT EXISTS (SELECT FROM dynos d WHERE d.release_id = a.current_release_id)
					AND NOT EXISTS (SELECT FROM old)`, appID, state, reason)
			if err != nil && ctx.Err() == nil {
				e.t.Error(err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// ended waits for a build and returns it and its output.
func (e *env) ended(app string, build hoist.ID) (answer, string) {
	e.t.Helper()
	var b answer
	eventually(e.t, "the build ends", func() bool {
		b = e.want(200, "GET", "/apps/"+app+"/builds/"+build, "")
		return b.text("status") != "pending"
	})
	return b, e.output(b)
}

func (e *env) output(b answer) string {
	e.t.Helper()
	response, err := http.Get(b.text("output_stream_url"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}

const zero = "0000000000000000000000000000000000000000"

func TestABuildBecomesARelease(t *testing.T) {
	e := start(t)
	web := map[string]string{"web": "./server", "worker": "./work"}
	commit := "de63889c20a96347679af2c5160c390727fa6749"
	moves := func(generation int64, old, new string) *hoist.Push {
		return &hoist.Push{Generation: generation, Refs: []hoist.RefUpdate{{Name: "refs/heads/main", Old: old, New: new}},
			Pack: &hoist.Pack{Key: "repos/x/" + new, SHA256: "abc", Size: 100}}
	}

	e.run("the release, the formation and the refs change together, and the terminal says so", func(t *testing.T, e *env) {
		app, id := e.app("pushed")
		defer e.dynos(id, hoist.DynoUp, "")()
		build := e.built(id, web, moves(0, zero, commit), commit)
		b, output := e.ended(app, build)
		contains(t, output, "-----> Go app detected\n-----> Launching... done, v2\n", "       http://pushed.127.0.0.1:", " deployed to hoist\n")
		if b.text("status") != "succeeded" || b.text("release.id") == "" {
			t.Errorf("%s", b.body)
		}
		r := e.want(200, "GET", "/apps/pushed/releases/2", "")
		if r.text("description") != "Deploy de63889" || r.text("current") != "true" || r.text("id") != b.text("release.id") {
			t.Errorf("%s", r.body)
		}
		a := e.want(200, "GET", "/apps/pushed", "")
		if a.text("buildpack_provided_description") != "Go" || a.text("slug_size") != "7" || a.text("repo_size") != "100" {
			t.Errorf("%s", a.body)
		}
		var head string
		var generation int
		if err := e.db.Pool.QueryRow(context.Background(), `SELECT refs->>'refs/heads/main', generation FROM repos WHERE app_id = $1`, id).Scan(&head, &generation); err != nil || head != commit || generation != 1 {
			t.Error(head, generation, err)
		}
		result := e.want(200, "GET", "/apps/pushed/builds/"+build+"/result", "")
		contains(t, string(result.body), "Launching...")
		if got := e.want(200, "GET", "/apps/pushed/builds", "", "Range: created_at ..; order=desc,max=5"); got.size() != 1 {
			t.Errorf("%s", got.body)
		}
	})

	e.run("a repository that changed meanwhile fails the build and nothing moves", func(t *testing.T, e *env) {
		_, id := e.app("raced")
		e.exec(`INSERT INTO repos (app_id, generation) VALUES ($1, 7)`, id)
		b, output := e.ended("raced", e.built(id, web, moves(6, zero, commit), commit))
		contains(t, output, " failed\n !     The repository changed while this was being built.")
		if b.text("status") != "failed" || e.want(200, "GET", "/apps/raced/releases", "").size() != 1 {
			t.Errorf("%s", b.body)
		}
	})

	e.run("a crash is told with its reason, and what goes on serving", func(t *testing.T, e *env) {
		_, id := e.app("crashing")
		up := e.dynos(id, hoist.DynoUp, "")
		e.ended("crashing", e.built(id, web, nil, commit))
		up()
		defer e.dynos(id, hoist.DynoCrashed, "R10 (Boot timeout)")()
		b, output := e.ended("crashing", e.built(id, web, nil, commit))
		contains(t, output, " failed, v3\n", "web.1 crashed: R10 (Boot timeout)", "the release before, v2, go on serving",
			"hoist rollback -a crashing", "hoist logs -a crashing")
		if b.text("status") != "succeeded" {
			t.Errorf("%s", b.body)
		}
		contains(t, string(e.want(200, "GET", "/apps/crashing/dynos", "").body), `"reason":"R10 (Boot timeout)"`)
		// One that never served does not go on.
		e.exec(`UPDATE dynos SET state = 'crashed' WHERE app_id = $1`, id)
		_, output = e.ended("crashing", e.built(id, web, nil, commit))
		contains(t, output, " failed, v4\n", "hoist rollback -a crashing")
		if strings.Contains(output, "go on serving") {
			t.Error(output)
		}
	})

	e.run("dynos that never come are not waited for without end", func(t *testing.T, e *env) {
		_, id := e.app("unplaced")
		_, output := e.ended("unplaced", e.built(id, web, nil, commit))
		contains(t, output, "no runtime has taken its web dynos yet")
	})

	e.run("an app scaled to nothing, or without web, is not waited for", func(t *testing.T, e *env) {
		_, id := e.app("asleep")
		_, output := e.ended("asleep", e.built(id, map[string]string{"worker": "./work"}, nil, commit))
		contains(t, output, " done, v2\n", "no web process")
		_, output = e.ended("asleep", e.built(id, web, nil, commit))
		contains(t, output, " done, v3\n", "ps:scale web=1")
	})

	e.run("a build by the API is pending, followed as it happens, and canceled", func(t *testing.T, e *env) {
		_, id := e.app("tarball")
		source := e.want(201, "POST", "/sources", "")
		e.want(201, "POST", "/apps/tarball/sources", "")
		put(t, source.text("source_blob.put_url"), "a tar archive")
		b := e.want(201, "POST", "/apps/tarball/builds", `{"source_blob":{"url":"`+source.text("source_blob.get_url")+
			`","version":"v1","checksum":null},"buildpacks":[{"url":"https://example.com/bp.tgz"}]}`)
		var key string
		if err := e.db.Pool.QueryRow(context.Background(), `SELECT source_key FROM builds WHERE id = $1`, b.text("id")).Scan(&key); err != nil || !strings.HasPrefix(key, "sources/"+e.account.ID) {
			t.Error(key, err)
		}
		var followed sync.WaitGroup
		followed.Go(func() {
			if got := e.output(b); !strings.HasPrefix(got, "one\ntwo\n") || !strings.HasSuffix(got, "Build canceled by ann@example.com\n") {
				t.Errorf("%q", got)
			}
		})
		e.say(b.text("id"), "one\n")
		e.say(b.text("id"), "two\n")
		time.Sleep(100 * time.Millisecond)
		if got := e.want(200, "DELETE", "/apps/tarball/builds/"+b.text("id"), ""); got.text("status") != "failed" {
			t.Errorf("%s", got.body)
		}
		followed.Wait()
		e.want(200, "DELETE", "/apps/tarball/build-cache", "")
		for _, bad := range []string{`{}`, `{"source_blob":{"url":"file:///etc/passwd"}}`, `{"source_blob":{"url":"https://x/y","checksum":"md5:1"}}`,
			`{"source_blob":{"url":"https://x/y"},"buildpacks":[{"url":"nope"}]}`} {
			e.want(422, "POST", "/apps/tarball/builds", bad)
		}
		wrong := strings.Replace(b.text("output_stream_url"), "key=", "key=0", 1)
		if response, err := http.Get(wrong); err != nil || response.StatusCode != 404 {
			t.Error(err, response)
		}
		_ = id
	})

	e.run("why a build ended whose push was interrupted is in its output", func(t *testing.T, e *env) {
		e.app("interrupted")
		b := e.want(201, "POST", "/apps/interrupted/builds", `{"source_blob":{"url":"https://example.com/x.tgz"}}`)
		e.say(b.text("id"), "one\n")
		if err := e.db.CancelPushedBuild(context.Background(), b.text("id"), "The push was interrupted."); err != nil {
			t.Fatal(err)
		}
		if got := e.output(b); got != "one\n\n !     The push was interrupted.\n" {
			t.Errorf("%q", got)
		}
	})

	e.run("several API processes make each release once", func(t *testing.T, e *env) {
		e.process()
		e.process()
		_, id := e.app("busy")
		up := e.dynos(id, hoist.DynoUp, "")
		defer up()
		var builds []hoist.ID
		for range 10 {
			builds = append(builds, e.built(id, web, nil, commit))
		}
		for _, b := range builds {
			e.ended("busy", b)
		}
		if n := e.want(200, "GET", "/apps/busy/releases", "").size(); n != 11 {
			t.Errorf("%d releases", n)
		}
	})

	e.run("a release begun by a process that died is gone on with", func(t *testing.T, e *env) {
		_, id := e.app("orphaned")
		defer e.dynos(id, hoist.DynoUp, "")()
		build := e.built(id, web, nil, commit)
		e.ended("orphaned", build)
		// As if the process had died after the transaction, before the end.
		e.exec(`UPDATE builds SET state = 'releasing', claimed_by = 'dead', lease_until = now() - interval '1 s', finished_at = NULL WHERE id = $1`, build)
		e.ended("orphaned", build)
		if n := e.want(200, "GET", "/apps/orphaned/releases", "").size(); n != 2 {
			t.Errorf("%d releases", n)
		}
	})

	e.run("the app's log tells who did what", func(t *testing.T, e *env) {
		_, id := e.app("told")
		defer e.dynos(id, hoist.DynoUp, "")()
		e.ended("told", e.built(id, web, nil, commit))
		e.want(200, "PATCH", "/apps/told/formation", `{"updates":[{"type":"web","quantity":2}]}`)
		log := ""
		eventually(t, "the log has it", func() bool {
			e.bus.Flush(context.Background())
			lines, err := e.nats.Bus(hoist.ComponentLogs).Tail(context.Background(), hoist.StreamLogs+id, false)
			if err != nil {
				t.Fatal(err)
			}
			log = ""
			for m := range lines {
				var line hoist.LogLine
				json.Unmarshal(m.Data, &line)
				log += line.Source + "[" + line.Dyno + "]: " + line.Text + "\n"
			}
			return strings.Contains(log, "Scaled")
		})
		contains(t, log, "app[api]: Initial release by user ann@example.com\n", "app[api]: Deploy de63889 by user ann@example.com\n",
			"app[api]: Release v2 created by user ann@example.com\n", "app[api]: Build succeeded\n",
			"app[api]: Scaled to web@2:Basic worker@0:Basic by user ann@example.com\n")
	})
}

func TestWithoutTheBusReleasesAreMadeAndReadAllTheSame(t *testing.T) {
	e := start(t)
	_, id := e.app("busless")
	defer e.dynos(id, hoist.DynoUp, "")()

	twice := hoist.NewID() // compiled
	e.exec(`INSERT INTO builds (id, app_id, account_id, state, stack) VALUES ($1, $2, $3, 'building', 's')`, twice, id, e.account.ID)
	e.say(twice, "-----> Node.js app detected\n !     Lost.\n")
	e.say(twice, "-----> Go app detected\n")
	response, err := http.Get(e.server.outputURL(twice))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, text := bufio.NewReader(response.Body), ""
	for range 3 {
		line, err := read.ReadString('\n')
		if text += line; err != nil {
			t.Fatal(err)
		}
	}
	e.nats.Stop()
	e.exec(`UPDATE builds SET state = 'succeeded', finished_at = now(), output = E'-----> Go app detected\n-----> Launching... done, v1\n' WHERE id = $1`, twice)
	rest, err := io.ReadAll(read)
	if text += string(rest); err != nil || text != "-----> Node.js app detected\n !     Lost.\n-----> Go app detected\n-----> Launching... done, v1\n" {
		t.Errorf("%q, %v", text, err)
	}

	build := e.built(id, map[string]string{"web": "./server"}, nil, "de63889c20a96347679af2c5160c390727fa6749")
	b, output := e.ended("busless", build)
	contains(t, output, "-----> Go app detected\n-----> Launching... done, v2\n")
	if b.text("status") != "succeeded" {
		t.Errorf("%s", b.body)
	}
	e.nats.Start()
}

func TestOnProbationTheAPIAnswersButReleasesNothing(t *testing.T) {
	proven := make(chan struct{})
	e := startWith(t, func(c *Config) { c.Proven = proven })
	app, id := e.app("gated")
	build := e.built(id, map[string]string{"worker": "./work"}, nil, "de63889c")
	time.Sleep(hoist.ResyncInterval + 500*time.Millisecond)
	if b := e.want(200, "GET", "/apps/"+app+"/builds/"+build, ""); b.text("status") != "pending" {
		t.Errorf("%s", b.body)
	}
	var state string
	if err := e.db.Pool.QueryRow(t.Context(), `SELECT state FROM builds WHERE id = $1`, build).Scan(&state); err != nil || state != "built" {
		t.Error(state, err)
	}
	close(proven)
	if b, _ := e.ended(app, build); b.text("status") != "succeeded" {
		t.Errorf("%s", b.body)
	}
}
