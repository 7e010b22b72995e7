package runtime_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/runtime"
)

func TestWorkers(t *testing.T) {
	p := newPlatform(t)
	in := func(dir string) func(*runtime.Config) { return func(c *runtime.Config) { c.Dir = dir } }

	t.Run("a new process adopts the containers", func(t *testing.T) {
		e, dir := newHostEngine(t), t.TempDir()
		stop := p.worker(t, e, in(dir))
		a := p.app(t)
		a.deploy(map[string]string{"web": web, "worker": "while read -r _ < /dev/null || sleep 0.2; do echo tick; done"})
		a.becomes("web.1 up, worker.1 up")
		gone := p.app(t)
		gone.deploy(map[string]string{"web": web})
		gone.becomes("web.1 up")
		stop()
		if e.running() != 3 {
			t.Fatalf("%d containers outlived their supervisor", e.running())
		}
		p.exec(t, `DELETE FROM apps WHERE id = $1`, gone.id)
		before := strings.Count(a.log(), "tick")
		p.worker(t, e, in(dir))
		a.eventually("the container without a row removed", func() bool { return e.running() == 2 })
		a.eventually("more output", func() bool { return strings.Count(a.log(), "tick") > before })
		if n := e.started("worker.1"); n != 1 {
			t.Errorf("started %d times", n)
		}
		a.scale("web", 0)
		a.becomes("worker.1 up")
	})
	t.Run("a container without a row that does not end holds up nobody", func(t *testing.T) {
		e := newHostEngine(t)
		if err := e.Start(t.Context(), hoist.ContainerSpec{ID: hoist.NewID(), Command: "exec sleep 1000"}); err != nil {
			t.Fatal(err)
		}
		e.stuck.Store(true)
		stop := p.worker(t, e)
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		stop()
	})
	t.Run("what was half done is finished", func(t *testing.T) {
		e, dir := newHostEngine(t), t.TempDir()
		stop := p.worker(t, e, in(dir), func(c *runtime.Config) { c.StopGrace = 20 * time.Second })
		a := p.app(t)
		a.deploy(map[string]string{"stubborn": "trap '' TERM; while :; do sleep 0.1; done", "mortal": "exec sleep 1000"})
		a.becomes("mortal.1 up, stubborn.1 up")
		mortal := a.dynos()[0].ID
		time.Sleep(200 * time.Millisecond)
		a.scale("stubborn", 0)
		a.becomes("mortal.1 up, stubborn.1 stopping")
		stop()
		e.Signal(t.Context(), mortal, 9) // while nobody looks
		p.worker(t, e, in(dir))
		a.becomes("mortal.1 up")
		a.logs("heroku[mortal.1]: Process exited with status 137", "heroku[stubborn.1]: Process exited with status 137",
			"heroku[stubborn.1]: State changed from up to down")
		for _, line := range []string{"Stopping all processes with SIGTERM", "State changed from up to down"} {
			if n := strings.Count(a.log(), "heroku[stubborn.1]: "+line+"\n"); n != 1 {
				t.Errorf("%q is there %d times:\n%s", line, n, a.log())
			}
		}
		if n := e.started("mortal.1"); n != 2 {
			t.Errorf("started %d times", n)
		}
	})
	t.Run("after a restart of the machine everything is started again", func(t *testing.T) {
		dir := t.TempDir()
		before := newHostEngine(t)
		stop := p.worker(t, before, in(dir))
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		stop()
		after := newHostEngine(t)
		p.worker(t, after, in(dir))
		a.eventually("started on the new machine", func() bool { return after.started("web.1") == 1 && a.live() == "web.1 up" })
		if len(a.dynos()) != 1 {
			t.Errorf("%+v", a.dynos())
		}
	})
	t.Run("dynos spread over the workers, and a lost one's move", func(t *testing.T) {
		e1, e2, dir := newHostEngine(t), newHostEngine(t), t.TempDir()
		stop1 := p.worker(t, e1, in(dir))
		p.worker(t, e2)
		a := p.app(t)
		a.eventually("two workers", func() bool { return p.workers(t) == 2 })
		a.deploy(map[string]string{"web": web})
		a.scale("web", 4)
		a.becomes("web.1 up, web.2 up, web.3 up, web.4 up")
		if e1.running() != 2 || e2.running() != 2 {
			t.Errorf("%d and %d", e1.running(), e2.running())
		}
		stop1()
		a.eventually("four on the other", func() bool {
			return e2.running() == 4 && a.live() == "web.1 up, web.2 up, web.3 up, web.4 up"
		})
		if n := len(a.dynos()); n != 4 {
			t.Errorf("%d rows", n)
		}
		p.worker(t, e1, in(dir))
		a.eventually("the returned worker ends what is not its own", func() bool { return e1.running() == 0 })
	})
	t.Run("those of a worker that is known to be lost move at once, after a restart of all too", func(t *testing.T) {
		dir := t.TempDir()
		stop := p.worker(t, newHostEngine(t), in(dir))
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		stop()
		lost, err := os.ReadFile(dir + "/worker")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.db.LoseWorker(t.Context(), strings.TrimSpace(string(lost))); err != nil {
			t.Fatal(err)
		}
		e := newHostEngine(t)
		p.worker(t, e, func(c *runtime.Config) { c.LostAfter = time.Hour })
		a.eventually("up on the other", func() bool { return e.started("web.1") == 1 && a.live() == "web.1 up" })
	})
	t.Run("what is on a worker that is said to be lost moves at once", func(t *testing.T) {
		e1, e2 := newHostEngine(t), newHostEngine(t)
		patient := func(c *runtime.Config) { c.LostAfter = time.Hour }
		stop1 := p.worker(t, e1, patient)
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.eventually("up on the first", func() bool { return e1.running() == 1 && a.live() == "web.1 up" })
		p.worker(t, e2, patient)
		a.eventually("two workers", func() bool { return p.workers(t) == 2 })
		stop1()
		began := time.Now()
		if err := p.db.LoseWorker(t.Context(), a.dynos()[0].WorkerID); err != nil {
			t.Fatal(err)
		}
		p.bus.Ring(hoist.BellWorker, nil)
		a.eventually("up on the other", func() bool { return e2.running() == 1 && a.live() == "web.1 up" })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	t.Run("a draining worker's dynos start elsewhere first", func(t *testing.T) {
		e1, e2 := newHostEngine(t), newHostEngine(t)
		stop1 := p.worker(t, e1, func(c *runtime.Config) { c.DrainOnStop = true })
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.eventually("up on the first", func() bool { return e1.running() == 1 && a.live() == "web.1 up" })
		p.worker(t, e2)
		stopped := make(chan struct{})
		go func() { stop1(); close(stopped) }()
		for done := false; !done; {
			select {
			case <-stopped:
				done = true
			default:
				if _, err := a.get(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if e1.running() != 0 || e2.running() != 1 {
			t.Errorf("%d and %d", e1.running(), e2.running())
		}
	})
	t.Run("one on probation does not wait for the client of what it was tried with", func(t *testing.T) {
		dir, limit := t.TempDir(), 30*time.Second
		stop := p.worker(t, newHostEngine(t), in(dir), func(c *runtime.Config) {
			c.Proven, c.DrainOnStop, c.DrainLimit, c.AttachTimeout = make(chan struct{}), true, limit, time.Hour
		})
		a := p.app(t)
		a.eventually("the worker", func() bool { return p.workers(t) == 1 })
		id, err := os.ReadFile(dir + "/worker")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.db.CreateProofDyno(t.Context(), hoist.Dyno{ID: hoist.NewID(), AppID: a.id, ReleaseID: a.deploy(nil), Type: "run",
			Size: hoist.DefaultSize, Command: "true", SecretHash: []byte("nobody's")}, string(id)); err != nil {
			t.Fatal(err)
		}
		a.logs("heroku[run.1]: Awaiting client")
		began := time.Now()
		stop()
		if took := time.Since(began); took > limit {
			t.Errorf("it took %s", took)
		}
	})
	for _, limit := range []time.Duration{time.Hour, 500 * time.Millisecond} {
		t.Run(fmt.Sprintf("a dyno is moved without a word to who is connected to it, for %s", limit), func(t *testing.T) {
			e1, e2 := newHostEngine(t), newHostEngine(t)
			stop1 := p.worker(t, e1, func(c *runtime.Config) { c.DrainOnStop, c.DrainMoved = true, limit })
			a := p.app(t)
			a.deploy(map[string]string{"web": web})
			a.eventually("up on the first", func() bool { return e1.running() == 1 && a.live() == "web.1 up" })
			client, err := net.Dial("tcp", a.dynos()[0].Address)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			p.worker(t, e2)
			stopped := make(chan struct{})
			go func() { stop1(); close(stopped) }()
			if limit > time.Minute {
				a.becomes("web.1 stopping, web.1 up")
				time.Sleep(2 * time.Second) // Drain is over
				if log := a.log(); strings.Contains(log, "SIGTERM") {
					t.Errorf("it was told to end:\n%s", log)
				}
				fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal("the connection was cut: ", err)
				}
				resp.Body.Close()
				client.Close()
			}
			<-stopped
			a.logs("heroku[web.1]: Stopping all processes with SIGTERM")
			a.becomes("web.1 up")
			if e1.running() != 0 || e2.running() != 1 {
				t.Errorf("%d and %d", e1.running(), e2.running())
			}
		})
	}
	t.Run("a dyno that its owner stops does not wait for its clients", func(t *testing.T) {
		e := newHostEngine(t)
		p.worker(t, e, func(c *runtime.Config) { c.DrainMoved = time.Hour })
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		client, err := net.Dial("tcp", a.dynos()[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		a.scale("web", 0)
		a.becomes("")
	})
	t.Run("two workers of one machine have its memory once", func(t *testing.T) {
		e1, e2 := newHostEngine(t), newHostEngine(t)
		share := func(c *runtime.Config) { c.Host, c.Memory = "machine", 1100<<20 }
		p.worker(t, e1, share)
		p.worker(t, e2, share)
		a := p.app(t)
		a.eventually("two workers", func() bool { return p.workers(t) == 2 })
		a.deploy(map[string]string{"web": web})
		a.scale("web", 3)
		a.becomes("web.1 up, web.2 up, web.3 starting")
		time.Sleep(2 * time.Second) // also what the best worker did not take
		if e1.running() != 1 || e2.running() != 1 {
			t.Errorf("%d and %d of %s", e1.running(), e2.running(), a.live())
		}
	})
	t.Run("without memory for both, the old dyno gives way", func(t *testing.T) {
		if testing.Short() {
			t.Skip("waits 15 s")
		}
		p.worker(t, newHostEngine(t), func(c *runtime.Config) { c.Memory = 600 << 20 })
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up, web.1 starting")
		a.becomes("web.1 up")
		a.logs("heroku[web.1]: Stopping: no worker had memory for its replacement beside it")
		if body, err := a.get(); body != "web.1 v2" {
			t.Error(body, err)
		}
	})
	t.Run("while the database is away the dynos go on and only what served is started again", func(t *testing.T) {
		u, _ := url.Parse(p.roles.URL("runtime"))
		p.wire = newWire(t, u.Host)
		defer func() { p.wire = nil }()
		e1, e2 := newHostEngine(t), newHostEngine(t)
		p.worker(t, e1)
		p.worker(t, e2)
		a := p.app(t)
		a.deploy(map[string]string{"web": web, "mortal": "exec sleep 1000"})
		a.becomes("mortal.1 up, web.1 up")
		mortal, served := a.dynos()[0].ID, a.dynos()[1].ID
		p.wire.set(true)
		for _, e := range []*hostEngine{e1, e2} {
			e.Signal(t.Context(), mortal, 9)
		}
		time.Sleep(4 * time.Second) // longer than a worker may be silent
		if _, err := a.get(); err != nil {
			t.Error(err)
		}
		for range 2 { // what served and crashes serves again, at its address
			before, err := a.getPath("/started")
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []*hostEngine{e1, e2} {
				e.Signal(t.Context(), served, 9)
			}
			a.eventually("another process that serves", func() bool { now, err := a.getPath("/started"); return err == nil && now != before })
		}
		if n := e1.started("mortal.1") + e2.started("mortal.1"); n != 1 {
			t.Errorf("mortal.1 was started %d times", n)
		}
		p.wire.set(false)
		a.becomes("mortal.1 up, web.1 up")
		time.Sleep(2 * time.Second)
		if web, mortal := e1.started("web.1")+e2.started("web.1"), e1.started("mortal.1")+e2.started("mortal.1"); web != 3 || mortal != 2 {
			t.Errorf("web.1 was started %d times, mortal.1 %d times", web, mortal)
		}
	})
	t.Run("one directory has one worker", func(t *testing.T) {
		e, dir := newHostEngine(t), t.TempDir()
		stop := p.worker(t, e, in(dir))
		a := p.app(t)
		a.deploy(map[string]string{"web": web})
		a.becomes("web.1 up")
		id, _ := os.ReadFile(dir + "/worker")
		p.worker(t, e, in(dir)) // waits
		time.Sleep(300 * time.Millisecond)
		stop()
		a.scale("web", 2)
		a.becomes("web.1 up, web.2 up")
		if again, _ := os.ReadFile(dir + "/worker"); string(again) != string(id) || len(id) != 36 {
			t.Errorf("worker %q became %q", id, again)
		}
	})
}

func TestAWorkerOnProbationRunsOnlyWhatIsGivenToIt(t *testing.T) {
	p := newPlatform(t)
	e, proven := newHostEngine(t), make(chan struct{})
	p.worker(t, e, func(c *runtime.Config) { c.Proven = proven })
	a := p.app(t)
	a.deploy(map[string]string{"web": web})
	var worker hoist.ID
	a.eventually("a worker on probation", func() bool {
		return p.db.Pool.QueryRow(t.Context(), `SELECT id FROM workers WHERE probation`).Scan(&worker) == nil
	})
	waits, _ := a.oneOff(hoist.Dyno{Command: "exit 5"})
	given, secret := a.oneOff(hoist.Dyno{Command: "echo proof; exit 3", Attach: true})
	p.exec(t, `UPDATE dynos SET worker_id = $2 WHERE id = $1`, given, worker)
	p.bus.Ring(hoist.BellDyno+a.id, nil)
	said, err := io.ReadAll(a.attach(given, secret))
	if err != nil || string(said) != "proof\n" {
		t.Errorf("%q, %v", said, err)
	}
	a.eventually("its end", func() bool { return a.exit(given) == 3 })
	time.Sleep(hoist.ResyncInterval + time.Second)
	if len(a.dynos()) != 2 || a.exit(waits) != -1 {
		t.Errorf("worked on probation: %+v", a.dynos())
	}
	close(proven)
	a.becomes("web.1 up")
	a.eventually("the one-off's end", func() bool { return a.exit(waits) == 5 })
	var probation bool
	if err := p.db.Pool.QueryRow(t.Context(), `SELECT probation FROM workers WHERE id = $1`, worker).Scan(&probation); err != nil || probation {
		t.Error(probation, err)
	}
}
