package runtime_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/runtime"
)

// The machine was off, and the database does not come back with it: what served requests serves them
// again, and when the database is there at last, it goes on.
func TestFromColdWithoutADatabase(t *testing.T) {
	for name, otherIP := range map[string]bool{"at its address": false, "at another address": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			u, _ := url.Parse(p.roles.URL(hoist.ComponentRuntime))
			p.wire = newWire(t, u.Host)
			e, dir := newHostEngine(t), t.TempDir()
			adjust := func(c *runtime.Config) { c.Dir, c.AloneAfter = dir, 300*time.Millisecond }
			stop := p.worker(t, e, adjust)
			a, gone := p.app(t), p.app(t)
			a.deploy(map[string]string{"web": web, "worker": "exec sleep 1000"})
			gone.deploy(map[string]string{"web": web})
			a.becomes("web.1 up, worker.1 up")
			gone.becomes("web.1 up")
			gone.scale("web", 0)
			gone.becomes("")
			address := a.dynos()[0].Address
			stop()
			off := func() {
				t.Helper()
				list, err := e.List(t.Context())
				if err != nil || len(list) != 2 {
					t.Fatal(list, err)
				}
				for _, c := range list {
					e.Signal(t.Context(), c.ID, 9)
				}
				a.eventually("all ended", func() bool { return e.running() == 0 })
			}
			off()
			p.wire.set(true)
			e.otherIP = otherIP
			p.worker(t, e, adjust)
			serves := func() bool {
				if otherIP {
					return e.running() == 1
				}
				res, err := http.Get("http://" + address + "/")
				if err != nil {
					return false
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				return string(body) == "web.1 v1"
			}
			a.eventually("it serves", serves)
			a.logs("heroku[web.1]: Starting process with command `" + web + "`, without the database")
			if n, m := e.started("web.1"), e.started("worker.1"); n != 3 || m != 1 {
				t.Errorf("web.1 was started %d times, of them one of another app and two of it; worker.1 %d times", n, m)
			}
			off()
			a.eventually("it serves again after a crash", serves)
			n := e.started("web.1")

			p.wire.set(false)
			a.becomes("web.1 up, worker.1 up")
			a.eventually("worker.1 started again", func() bool { return e.started("worker.1") == 2 })
			a.eventually("an answer where the row says", func() bool { body, err := a.get(); return err == nil && body == "web.1 v1" })
			if e.started("web.1") != n {
				t.Error("what ran was started again when the database came")
			}
			if now := a.dynos()[0].Address; (now == address) == otherIP {
				t.Errorf("its address is %s, and was %s", now, address)
			}
		})
	}
}
