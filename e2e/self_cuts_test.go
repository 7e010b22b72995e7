package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob/blobtest"
	"github.com/jackc/pgx/v5"
)

// The power fails again and again: while the platform moves onto itself, in the middle of a
// migration, of pushes, of upgrades and of config changes, and some of the times not all is there
// when it comes back. The platform and all apps serve again by themselves; nothing that was
// acknowledged is lost or doubled.
func TestSelfColdStart(t *testing.T) {
	w := newSelfWorld(t, 2)
	for _, a := range w.apps {
		if err := a.mustSet(); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.Uint64()
	t.Logf("random power cuts with seed %d", random)
	c := &cuts{selfWorld: w, t: t, r: rand.New(rand.NewPCG(random, 0)), begun: time.Now()}
	c.intoBootstrap()
	c.whenAtRest()
	for _, n := range c.r.Perm(len(cutPhases)) {
		c.intoUpgrade(cutPhases[n])
	}
	for c.n < 11 {
		c.intoAnything("")
	}
	c.intoMigration()
	for _, part := range []string{"bus", "blobs", "slug", "app's slug", "database", "clock"} { // the clock last: it stays wrong
		c.intoAnything(part)
	}
	if c.n != 20 {
		t.Errorf("there were %d power cuts", c.n)
	}
	slices.Sort(c.took)
	t.Logf("served after %v; half of them within %s", c.took, c.took[len(c.took)/2])
	c.pushAgain()
	w.invariants(t)
}

// cuts are power cuts in a row.
type cuts struct {
	*selfWorld
	t     *testing.T
	r     *rand.Rand
	begun time.Time
	n     int
	took  []time.Duration // from power to all apps serving
	under *upgrade        // under way, or the last that was
}

// moment is some time.
func (c *cuts) moment(most time.Duration) time.Duration {
	return time.Duration(c.r.Int64N(int64(most)))
}

// cut cuts the power, at some time after something has begun.
func (c *cuts) cut(what string, after time.Duration, reboot bool) {
	c.t.Helper()
	time.Sleep(after)
	c.n++
	if c.under != nil && !c.under.ended() {
		what += ", in " + c.under.phase()
	}
	c.t.Logf("%2d: after %.0f s, %s into %s (reboot: %v)", c.n, time.Since(c.begun).Seconds(), after.Round(time.Millisecond), what, reboot)
	if err := c.powerCut(reboot); err != nil {
		c.t.Fatal(err)
	}
}

// on is the power coming back.
func (c *cuts) on() {
	c.t.Helper()
	serving, ready, err := c.powerOn()
	c.t.Logf("    served after %s, ready after %s", serving, ready)
	if err != nil {
		c.t.Fatal(err)
	}
	c.took = append(c.took, serving)
	if serving > 10*time.Second {
		c.tellStart(c.t)
	}
}

// setting changes the config of an app every now and then, until the function it returns is
// called; but not so often that its first release is collected.
func (c *cuts) setting(pause time.Duration) (end func()) {
	stop := make(chan struct{})
	var acts sync.WaitGroup
	acts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.apps[1].set()
				time.Sleep(pause)
			}
		}
	})
	return func() { close(stop); acts.Wait() }
}

// intoBootstrap cuts the power in each stage of a bootstrap. Run again, that goes on. Its
// program is compiled already, as minutes of compiling would add little here.
func (c *cuts) intoBootstrap() {
	t := c.t
	t.Helper()
	t.Cleanup(func() { forgetHost(c.SSH) })
	source, said := c.compiledSource(t), ""
	for _, stage := range []string{"Stage 1: ", "Taking over", "Stage 2: ", "Stage 3: ", "Comparing"} {
		after, reached := c.moment(5*time.Second), false
		end := c.setting(time.Second)
		out, err := c.bootstrap(t, source.dir, stage, func(*os.Process) {
			reached = true
			c.cut("a bootstrap: "+stage, after, c.r.IntN(2) == 0)
		})
		end()
		said += out
		if !reached {
			t.Fatalf("it does not get to %q: %v\n%s", stage, err, lastLines(out, 60))
		}
		c.on()
		if err := c.apps[1].mustSet(); err != nil {
			t.Fatal(err)
		}
		if err := eventually(time.Minute, c.kept); err != nil {
			t.Fatalf("after power cut %d: %v", c.n, err)
		}
	}
	begun := time.Now()
	out, err := c.bootstrap(t, source.dir, "", nil)
	if err != nil || !strings.Contains(said+out, "stage 2 = stage 3, bit for bit") {
		t.Fatalf("bootstrap, begun again after power cuts: %v\n%s", err, lastLines(out, 60))
	}
	t.Logf("bootstrap, begun again after power cuts, ended after %s:\n%s", time.Since(begun).Round(time.Second), headings(out))
	c.checkStages(t)
	c.hoistApp = &faultApp{w: c.faultWorld, Name: source.Name, dir: filepath.Join(c.Home, "hoist-hoist")}
	if out, err := c.hoistApp.git(nil, "config", "core.compression", "1"); err != nil {
		t.Fatal(err, out)
	}
	c.invariants(t)
}

// whenAtRest cuts the power of a platform that has nothing to do. There was one runtime more
// before, of whose place nobody has need any more. First the power comes back without a network.
func (c *cuts) whenAtRest() {
	c.t.Helper()
	c.cut("rest", 0, true)
	if err := c.oneMore(); err != nil {
		c.t.Fatal(err)
	}
	c.onWithoutNetwork()
	c.cut("rest without a network", 0, true)
	c.on()
	if last := c.took[len(c.took)-1]; last > 10*time.Second {
		c.t.Logf("from cold all apps served after %s, which is more than the 10 s that are aimed at", last)
	}
	begun := time.Now()
	if err := c.awaitSettled(2*time.Minute, 0); err != nil {
		c.t.Error(err)
	}
	c.t.Logf("    all of it was settled %s after that", time.Since(begun).Round(10*time.Millisecond))
	c.invariants(c.t)
}

// onWithoutNetwork brings the power back on a machine that has no network interface but the
// loopback, and none but those that dynos are given.
func (c *cuts) onWithoutNetwork() {
	c.t.Helper()
	ns, err := newLoopback()
	if err != nil {
		c.t.Fatal(err)
	}
	c.ns = &ns
	defer func() { c.ns = nil; ns.Close() }()
	serving, ready, err := c.powerOn()
	c.t.Logf("    without a network served after %s, ready after %s", serving, ready)
	if err := errors.Join(err, c.awaitSettled(2*time.Minute, 0)); err != nil {
		c.t.Fatalf("without a network: %v", err)
	}
}

// oneMore copies what the runtime left of its dynos to another's place.
func (c *cuts) oneMore() error {
	used, err := filepath.Glob(filepath.Join(c.Dir, "runtime-*", "engine", "containers", "*"))
	if err != nil || len(used) == 0 {
		return fmt.Errorf("no runtime has left a dyno: %w", err)
	}
	for _, dir := range used {
		there := filepath.Join(c.Dir, "runtime-7", "engine", "containers", filepath.Base(dir))
		if err := os.MkdirAll(there, 0o700); err != nil {
			return err
		}
		for _, name := range []string{"config.json", "container.json", "pid"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err := errors.Join(err, os.WriteFile(filepath.Join(there, name), text, 0o600)); err != nil {
				return err
			}
		}
	}
	return nil
}

// intoAnything cuts the power while something goes on, and brings it back without a part.
func (c *cuts) intoAnything(missing string) {
	c.t.Helper()
	acting := []string{"a push", "config changes", "a push of the platform", "all of these"}
	switch missing {
	case "slug": // of the platform: another release would bring another
		c.quiet()
		acting = acting[:2]
	case "app's slug": // of the app whose config is changed
		acting = []string{"a push", "a push of the platform"}
	}
	what := acting[c.r.IntN(len(acting))]
	all := what == "all of these"
	var acts sync.WaitGroup
	if all || what == "a push" {
		acts.Go(func() { c.apps[0].push(c.apps[0].sshURL(), nil) })
	}
	if all || what == "a push of the platform" {
		c.startUpgrade(goodProgram(c.t, 1+c.n%2))
		acts.Go(c.under.wait)
	}
	end := func() {}
	if all || what == "config changes" {
		end = c.setting(200 * time.Millisecond)
	}
	if missing == "" {
		c.cut(what, c.moment(5*time.Second), c.r.IntN(2) == 0)
		c.on()
	} else {
		c.onWithout(missing, what)
	}
	end()
	acts.Wait()
	if err := c.repeat(what); err != nil {
		c.t.Fatalf("after power cut %d: %v", c.n, err)
	}
}

// quiet waits until the platform has nothing to do any more.
func (c *cuts) quiet() {
	c.t.Helper()
	if err := eventually(3*time.Minute, func() error { return errors.Join(c.nothingDoubled(), c.settled(0)) }); err != nil {
		c.t.Fatalf("after power cut %d it does not come to rest: %v", c.n, err)
	}
}

// pushAgain pushes what of the platform was pushed and not acknowledged: it may have been taken.
func (c *cuts) pushAgain() {
	c.t.Helper()
	if out, err := c.hoistApp.pushAgain(); err != nil {
		c.t.Errorf("push of hoist: %v\n%s", err, out)
	}
}

// repeat does again what was not acknowledged, and checks what was.
func (w *selfWorld) repeat(what string) error {
	pushed, set := w.apps[0], w.apps[1]
	if what == "a push" || what == "all of these" {
		var out string
		if err := eventually(2*time.Minute, func() (err error) { out, err = pushed.pushAgain(); return err }); err != nil {
			return fmt.Errorf("pushed again: %w\n%s", err, out)
		}
	}
	if err := set.mustSet(); err != nil {
		return err
	}
	return eventually(time.Minute, func() error { return errors.Join(pushed.acknowledged(), set.acknowledged()) })
}

// intoMigration cuts the power in the middle of a migration, and again when that is begun
// again. At last the migration is done, once.
func (c *cuts) intoMigration() {
	t := c.t
	t.Helper()
	before, err := c.currentRelease()
	if err != nil {
		t.Fatal(err)
	}
	program := slowMigration(t)
	c.startUpgrade(program)
	started := make(chan error, 1) // by a start that is not waited for: the migration is begun again
	started <- nil
	for i := range 3 {
		under := false
		if err := eventually(3*time.Minute, func() (err error) { under, err = c.migrating(); return err }); err != nil {
			t.Fatal(err)
		}
		if !under { // it was done before we came
			c.under.wait()
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			started <- nil
			c.intoAnything("")
			continue
		}
		end := c.setting(200 * time.Millisecond)
		c.cut("a migration", c.moment(slowly), c.r.IntN(2) == 0)
		end()
		c.under.wait()
		<-started // which this cut has ended
		if i < 2 {
			go func() { started <- c.start() }()
		} else {
			c.on()
			started <- nil
		}
	}
	if err := c.repeat("a migration"); err != nil {
		t.Fatalf("after power cut %d: %v", c.n, err)
	}
	if err := c.awaitSettled(2*time.Minute, before.Version+1); err != nil {
		t.Fatalf("the release with the migration does not run: %v", err)
	}
	if under, err := c.migrating(); under || err != nil {
		t.Fatalf("the release with the migration runs, and that is not done: %v", err)
	}
	c.pushAgain()
	c.invariants(t)
}

// migrating reports whether the slow migration is under way; if not, it must be done.
func (w *selfWorld) migrating() (bool, error) {
	var state []struct{ Under, There bool }
	err := w.query(&state, `SELECT to_regclass('slow') IS NOT NULL AS there,
		EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()) AS under`)
	if err != nil {
		return false, err
	}
	switch s := state[0]; {
	case s.Under && s.There:
		return true, errors.New("the migration is under way, and what it has done so far is to be seen")
	case s.Under:
		return true, nil
	case !s.There:
		return false, errors.New("the migration is not under way")
	}
	var steps []struct{ Step int }
	if err := w.query(&steps, `SELECT step FROM slow ORDER BY step`); err != nil {
		return false, err
	}
	if len(steps) != 2 || steps[0].Step != 1 || steps[1].Step != 2 {
		return false, fmt.Errorf("the migration was not done once: %v", steps)
	}
	return false, nil
}

// intoUpgrade cuts the power in a phase of an upgrade of a platform that has nothing else to do.
func (c *cuts) intoUpgrade(phase string) {
	c.t.Helper()
	c.quiet()
	c.startUpgrade(c.anotherProgram())
	if err := c.under.reaches(phase); err != nil {
		c.t.Fatalf("an upgrade does not get to %s: %v", phase, err)
	}
	c.cut("an upgrade from "+phase+" on", c.moment(3*time.Second), c.r.IntN(2) == 0)
	c.on()
	c.under.wait()
	if err := c.repeat("a push of the platform"); err != nil {
		c.t.Fatalf("after power cut %d: %v", c.n, err)
	}
}

// onWithout brings a platform back without one of its parts. The rest serves, and `hoist
// seed status` says what is missing.
func (c *cuts) onWithout(part, what string) {
	t := c.t
	t.Helper()
	time.Sleep(c.moment(5 * time.Second))
	serving := c.apps
	var blobs []string
	switch part {
	case "clock":
		if err := c.asOwner(func(ctx context.Context, db *pgx.Conn) error { _, err := db.Exec(ctx, setBackRows); return err }); err != nil {
			t.Fatal(err)
		}
	case "slug":
		blobs = c.slugs(t, hoist.SystemApp)
	case "app's slug":
		blobs, serving = c.slugs(t, c.apps[1].Name), c.apps[:1]
	}
	c.cut(what, 0, true)
	says, back, err := c.take(part, blobs)
	if err != nil {
		t.Fatal(err)
	}
	begun, started := time.Now(), make(chan error, 1)
	go func() { started <- c.start() }()
	if err := c.serve(serving, servesWithin); err != nil {
		t.Errorf("without the %s: %v", part, err)
	}
	t.Logf("    served without the %s after %s", part, time.Since(begun).Round(10*time.Millisecond))
	c.statusSays(t, says...)
	if part == "app's slug" {
		c.deployAgain(t, c.apps[1], <-started)
		return
	}
	if err := errors.Join(back(), <-started); err != nil {
		t.Fatalf("with the %s again: %v", part, err)
	}
	if part == "slug" {
		if err := c.awaitSettled(3*time.Minute, 0); err != nil {
			t.Fatalf("dynos of the platform do not do the work again: %v", err)
		}
	}
	t.Logf("    with the %s again all was ready after %s", part, time.Since(begun).Round(10*time.Millisecond))
}

// deployAgain does what is said of a dyno whose slug is damaged.
func (c *cuts) deployAgain(t *testing.T, a *faultApp, started error) {
	t.Helper()
	if started != nil {
		t.Fatal(started)
	}
	if err := a.saysDamaged(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(eventually(2*time.Minute, a.mustPush), eventually(time.Minute, a.serving)); err != nil {
		t.Errorf("deployed again: %v", err)
	}
}

// take takes a part of a platform that is switched off; blobs are those to damage. says is what
// the status must say then.
func (w *selfWorld) take(part string, blobs []string) (says []string, back func() error, err error) {
	says, back = map[string][]string{
		"database": {"waits for the database (it does not answer)"},
		"bus":      {"logs waiting waits for the bus (it does not answer)"},
		"blobs":    {"compile waiting waits for the blobs ("},
		"clock":    {"The clock is behind what it was"},
		"slug": {"The slug of v cannot be fetched: blob is damaged on disk Push another commit hoist seed rollback",
			"stage 0: everything runs inside the seed"},
		"app's slug": {w.apps[1].Name + " web.1: " + slugDamaged},
	}[part], func() error { return nil }
	switch part {
	case "slug", "app's slug": // the local files, and the stored ones
		local, _ := filepath.Glob(filepath.Join(w.Dir, "system/slugs/*.squashfs"))
		if part != "slug" {
			local = nil
			for _, blob := range blobs {
				files, _ := filepath.Glob(filepath.Join(w.Dir, "runtime*/slugs", filepath.Base(blob)))
				local = append(local, files...)
			}
		}
		if len(local) == 0 {
			return says, back, errors.New("the slug is not on this machine")
		}
		for _, file := range local {
			err = errors.Join(err, os.Remove(file), os.WriteFile(file, []byte("rust"), 0o600))
		}
		damage := func() (err error) {
			for _, blob := range blobs {
				err = errors.Join(err, blobtest.DamageFile(filepath.Join(w.Dir, "blobs"), blob))
			}
			return err
		}
		return says, damage, errors.Join(err, damage()) // done twice, nothing is damaged
	case "clock":
		return says, back, w.setBackFiles()
	}
	back, err = w.remove(map[string]string{"database": "postgres", "bus": "nats", "blobs": "blobs"}[part])
	return says, back, err
}

// slugs are the keys of an app's stored slugs.
func (w *selfWorld) slugs(t *testing.T, app string) (keys []string) {
	t.Helper()
	var rows []struct{ Key string }
	err := w.query(&rows, `SELECT blob_key AS key FROM slugs s JOIN apps a ON a.id = s.app_id WHERE a.name = $1 AND ready`, app)
	if err != nil || len(rows) == 0 {
		t.Fatal(rows, err)
	}
	for _, r := range rows {
		keys = append(keys, r.Key)
	}
	return keys
}

// setBackRows and setBackFiles make what was written before come from tomorrow: as if the clock had
// been set back by a day.
const (
	setBack     = 24 * time.Hour
	setBackRows = `DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT table_name AS t, column_name AS n FROM information_schema.columns
			WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' LOOP
			EXECUTE format('UPDATE %I SET %I = %I + interval ''1 day''', c.t, c.n, c.n);
		END LOOP; END $$`
)

func (w *selfWorld) setBackFiles() error {
	return filepath.WalkDir(w.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(path, info.ModTime(), info.ModTime().Add(setBack))
	})
}
