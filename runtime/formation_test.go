package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
)

const web = `exec "$APP" web`

func TestFormation(t *testing.T) {
	p := newPlatform(t)
	e := newHostEngine(t)
	p.worker(t, e)

	t.Run("dynos follow the quantity; the highest numbers go first", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		a.scale("web", 3)
		a.becomes("web.1 up, web.2 up, web.3 up")
		a.scale("web", 1)
		a.becomes("web.1 up")
		a.logs("heroku[web.3]: Stopping all processes with SIGTERM", "heroku[web.3]: Process exited with status 0",
			"heroku[web.3]: State changed from up to down", "app[web.3]: serving")
		a.scale("web", 0)
		a.becomes("")
		if strings.Contains(a.log(), "crashed") {
			t.Error(a.log())
		}
	})
	t.Run("a deploy leaves no gap for one dyno", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		a.deploy(map[string]string{"web": web})
		last := ""
		a.eventually("answers from v2 alone", func() bool {
			body, err := a.get()
			if err != nil {
				t.Fatal(err)
			}
			last = body
			return last == "web.1 v2" && a.live() == "web.1 up"
		})
	})
	t.Run("a release that never binds leaves the old one serving", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		a.deploy(map[string]string{"web": "exec sleep 100"})
		a.logs("heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 3 seconds of launch")
		if body, err := a.get(); body != "web.1 v1" {
			t.Error(body, err)
		}
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		if body, err := a.get(); body != "web.1 v3" {
			t.Error(body, err)
		}
	})
	t.Run("the old release is even restarted while the new one crashes", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		old := a.dynos()[0].ID
		a.deploy(map[string]string{"web": "exit 3"})
		a.logs("heroku[web.1]: Process exited with status 3", "heroku[web.1]: State changed from starting to crashed")
		e.Signal(t.Context(), old, 9)
		a.logs("heroku[web.1]: Process exited with status 137", "heroku[web.1]: State changed from up to crashed")
		a.eventually("the old one serves again", func() bool { body, _ := a.get(); return body == "web.1 v1" })
	})
	t.Run("crashes are tried again, later and later, until a new release", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"clock": "exit 1"})
		var at []time.Time
		a.eventually("four starts", func() bool {
			if d := a.dynos(); len(d) == 1 && d[0].Restarts > len(at) {
				at = append(at, time.Now())
			}
			return len(at) == 5
		})
		if first, last := at[1].Sub(at[0]), at[4].Sub(at[3]); last < 2*first {
			t.Errorf("first pause %s, last %s", first, last)
		}
		a.deploy(map[string]string{"clock": "exec sleep 100"})
		a.becomes("clock.1 up")
		if d := a.dynos(); d[len(d)-1].Restarts != 0 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a restart starts the new dyno first", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		old := a.dynos()[0].ID
		a.want(old, hoist.WantRestart)
		a.eventually("another dyno alone", func() bool {
			if _, err := a.get(); err != nil {
				t.Fatal(err)
			}
			d := a.dynos()
			return len(d) == 2 && d[0].State == hoist.DynoDown && d[1].State == hoist.DynoUp
		})
	})
	t.Run("a stopped dyno goes down, then is started again", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"worker": "exec sleep 100"})
		a.becomes("worker.1 up")
		a.want(a.dynos()[0].ID, hoist.WantDown)
		a.eventually("down and up", func() bool {
			d := a.dynos()
			if len(d) > 1 && d[0].State != hoist.DynoDown {
				t.Fatalf("two at once: %+v", d)
			}
			return len(d) == 2 && d[1].State == hoist.DynoUp
		})
		if d := a.dynos()[0]; d.ExitCode == nil || *d.ExitCode != 143 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("another size replaces the dynos", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		p.exec(t, `UPDATE formation SET size = 'Standard-2X' WHERE app_id = $1`, a.id)
		a.ring()
		a.eventually("replaced", func() bool { return len(a.dynos()) == 2 && a.live() == "web.1 up" })
	})
	t.Run("who ignores SIGTERM is killed", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"worker": "trap '' TERM; while :; do sleep 0.1; done"})
		a.becomes("worker.1 up")
		time.Sleep(200 * time.Millisecond) // for bash to set the trap
		a.scale("worker", 0)
		a.becomes("")
		a.logs("heroku[worker.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 3 seconds of SIGTERM",
			"heroku[worker.1]: Stopping remaining processes with SIGKILL", "heroku[worker.1]: Process exited with status 137")
	})
	t.Run("a deleted app's containers go", func(t *testing.T) {
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		before := e.running()
		p.exec(t, `DELETE FROM apps WHERE id = $1`, a.id)
		a.eventually("one less", func() bool { return e.running() < before })
	})
	t.Run("an app that cannot be looked after is not the others' trouble", func(t *testing.T) {
		apps := []*app{p.app(t), p.app(t), p.app(t)}
		for _, a := range apps {
			a.deploy(map[string]string{"worker": "exec sleep 1000"})
			a.becomes("worker.1 up")
		}
		p.exec(t, fmt.Sprintf(`ALTER TABLE dynos ADD CONSTRAINT broken CHECK (app_id <> '%s') NOT VALID`, apps[1].id))
		defer p.exec(t, `ALTER TABLE dynos DROP CONSTRAINT broken`)
		p.exec(t, `UPDATE formation SET quantity = 2 WHERE type = 'worker'`) // nobody rings
		apps[0].becomes("worker.1 up, worker.2 up")
		apps[2].becomes("worker.1 up, worker.2 up")
		apps[1].becomes("worker.1 up")
	})
	t.Run("a flood of output is cut and counted", func(t *testing.T) {
		quiet, loud := p.app(t), p.app(t)
		quiet.deploy(map[string]string{"web": web})
		loud.deploy(map[string]string{"worker": `exec "$APP" flood`})
		loud.logs("heroku[worker.1]: Error L10 (output buffer overflow): ")
		quiet.logs("app[web.1]: serving")
		loud.scale("worker", 0)
		loud.becomes("")
	})
	t.Run("blobs that are away are waited for", func(t *testing.T) {
		p.blobs.setAway(errors.New("connection refused"))
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 starting")
		time.Sleep(100 * time.Millisecond)
		p.blobs.setAway(nil)
		a.becomes("web.1 up")
	})
	for what, spoil := range map[string]func(key string){
		"damaged": p.store.Damage,
		"gone":    func(key string) { p.store.Open(blobtest.Everybody).Delete(t.Context(), key) },
	} {
		t.Run("a slug that is "+what+" is not waited for", func(t *testing.T) {
			a := p.app(t)
			a.deploy(map[string]string{"web": web})
			a.becomes("web.1 up")
			a.scale("web", 0)
			a.becomes("")
			var key string
			release := a.deploy(nil)
			if err := p.db.Pool.QueryRow(t.Context(), `SELECT blob_key FROM slugs s JOIN releases r ON r.slug_id = s.id WHERE r.id = $1`, release).Scan(&key); err != nil {
				t.Fatal(err)
			}
			spoil(key)
			a.scale("web", 1)
			why := "slug: the stored slug is " + what + "; deploy again"
			a.eventually(why, func() bool {
				d := a.dynos()
				return d[len(d)-1].Reason == "R99 (Platform error): "+why
			})
			a.logs("heroku[web.1]: Error R99 (Platform error) -> Failed to launch the dyno: " + why)
			a.deploy(nil)
			a.becomes("web.1 up")
		})
	}
}
