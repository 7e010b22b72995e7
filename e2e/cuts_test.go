package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deadGround is where nobody answers.
const deadGround = "127.0.0.1:1"

// groundVariables name the parts of the ground in a component's environment.
var groundVariables = map[string]string{"database": "DATABASE_URL", "bus": "NATS_URL", "blobs": "BLOB_URL"}

// Whatever a component says that it starts and serves without is taken away from it, for
// each such thing: a cut of a circle is no promise but a fact.
func TestCutsAreReal(t *testing.T) {
	w := newFaultWorld(t, 1)
	w.apart(t, false)
	app := w.apps[0]
	serves := func() error {
		code, body, err := w.get(app.Name, "/")
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	}
	fetch := func() error {
		out, err := app.git(nil, "clone", "-q", app.sshURL(), filepath.Join(t.TempDir(), "clone-"+strconv.FormatInt(time.Now().UnixNano(), 36)))
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	list := func() error { return w.call("GET", "/apps/"+app.Name+"/releases", w.Token, nil, nil) }
	scale := func() error {
		return errors.Join(app.scale("web", 3-app.webs()), eventually(30*time.Second, app.serving))
	}
	// during is tried while the thing is missing, after when it is back.
	type probe struct{ during, after func() error }
	kept := func() probe { // a push waits, and is done when who is missing is back
		pushed := make(chan error, 1)
		return probe{
			func() error {
				if err := fetch(); err != nil {
					return err
				}
				go func() { pushed <- app.mustPush() }()
				select {
				case err := <-pushed:
					return fmt.Errorf("the push did not wait: %v", err)
				case <-time.After(3 * time.Second):
					return nil
				}
			},
			func() error { return <-pushed },
		}
	}
	probes := map[string]func() probe{
		"api without bus":     func() probe { return probe{during: list} },
		"api without blobs":   func() probe { return probe{during: list} },
		"api without compile": func() probe { return probe{during: list} },
		"api without runtime": func() probe { return probe{app.mustSet, func() error { return eventually(time.Minute, app.serving) }} },
		"git without bus":     func() probe { return probe{during: app.mustPush} },
		"git without blobs": func() probe {
			if err := fetch(); err != nil { // what was pushed comes to the local disk
				t.Error(err)
			}
			return probe{during: fetch}
		},
		"git without compile": kept,
		"git without api":     kept,
		"compile without bus": func() probe { return probe{during: app.mustPush} },
		"runtime without database": func() probe {
			before, err := app.processes()
			if err != nil {
				t.Error(err)
			}
			kill := sync.OnceFunc(func() {
				for _, pid := range before {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			return probe{func() error { kill(); return serves() }, func() error { return eventually(time.Minute, app.serving) }}
		},
		"runtime without bus":     func() probe { return probe{during: scale} },
		"runtime without blobs":   func() probe { return probe{during: scale} },
		"router without database": func() probe { return probe{during: serves} },
		"router without bus":      func() probe { return probe{during: serves} },
		"router without api":      func() probe { return probe{during: serves} },
		"router without git":      func() probe { return probe{during: serves} },
		"router without logs":     func() probe { return probe{during: serves} },
		"router without runtime":  func() probe { return probe{during: serves} },
	}
	out, err := w.hoist("seed", "circles", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Edges []struct{ From, To, Cut string }
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatal(err)
	}
	claimed := map[string]bool{}
	for _, e := range said.Edges {
		if e.Cut == "" || !slices.Contains(componentNames, e.From) {
			continue // the seed's own: TestOutOfBand
		}
		name := e.From + " without " + e.To
		if claimed[name] {
			continue
		}
		claimed[name] = true
		t.Run(name, func(t *testing.T) {
			probe, ok := probes[name]
			if !ok {
				t.Fatalf("it is said (%s), and nobody tries it", e.Cut)
			}
			p := probe()
			back := w.takeAway(t, e.From, e.To)
			if err := eventually(30*time.Second, p.during); err != nil {
				t.Errorf("while it was away: %v", err)
			}
			back()
			if p.after != nil {
				if err := p.after(); err != nil {
					t.Errorf("when it was back: %v", err)
				}
			}
		})
	}
	for name := range probes {
		if !claimed[name] {
			t.Errorf("%s: nobody says so any more", name)
		}
	}
}

// takeAway starts a component again without a part of the ground, or ends another component.
func (w *faultWorld) takeAway(t *testing.T, from, what string) (back func()) {
	t.Helper()
	begin := func(name string, ready bool) {
		since := time.Now().Add(-time.Second)
		if err := w.run(name); err != nil {
			t.Fatal(err)
		}
		if ready {
			if err := w.awaitReady(name, since); err != nil {
				t.Fatal(err)
			}
		}
	}
	variable, ok := groundVariables[what]
	if !ok {
		w.procs[what].kill()
		return func() { begin(what, true) }
	}
	env, err := w.hoist("seed", "env", from)
	if err != nil {
		t.Fatal(err)
	}
	before := w.env[from]
	for line := range strings.Lines(env) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"="); ok {
			u, err := url.Parse(value)
			if err != nil {
				t.Fatal(err)
			}
			u.Host = deadGround
			w.env[from] = append(slices.Clone(before), variable+"="+u.String())
		}
	}
	w.procs[from].kill()
	begin(from, what != "database") // a row says that it is ready
	return func() {
		w.procs[from].kill()
		w.env[from] = before
		begin(from, true)
	}
}
