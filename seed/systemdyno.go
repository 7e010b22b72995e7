package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// systemDyno is a dyno of the platform's own app.
type systemDyno struct {
	hoist.Dyno
	digest    string // of all it was started with; another one means another dyno
	slot      int    // of a runtime: its directory and network
	probation bool   // it was started on that
	pid       int
	since     time.Time // started, or the ground came back
	asked     bool      // to be replaced, by a person
	stopBy    time.Time
	trial     trial                  // its proof
	lacks     string                 // for its proof
	done      bool                   // its task
	passed    time.Time              // it was let in
	said      atomic.Pointer[string] // its last words
	wrote     hoist.DynoWant
	ended     chan hoist.Exit
}

func (d *systemDyno) stopping() bool { return !d.stopBy.IsZero() }

// keptIn is where a dyno finds the directory that it may write to.
const keptIn = "/var/lib/hoist"

// drain is how long a component that was replaced may finish what is under way:
// a push that waits for its build, somebody who reads a log or is attached.
const drain = time.Hour

// unprovenGrace is how long a dyno that was on probation to its end may take for that.
const unprovenGrace = 20 * time.Second

// open makes the engine, takes over the dynos that run, and watches them.
func (y *system) open(ctx context.Context) error {
	cfg := &y.seed.cfg
	network, err := cfg.workerNetwork(workers) // never used: its dynos have the host's network
	if err != nil {
		return err
	}
	if err := os.MkdirAll(y.slugFile(""), 0o700); err != nil {
		return err
	}
	engine, err := cfg.Engine(cfg.Name()+"-sys", y.engineDir(), network)
	if err != nil {
		return err
	}
	list, err := engine.List(ctx)
	if err != nil {
		engine.Close()
		return err
	}
	y.engine = engine
	for _, c := range list {
		d := &systemDyno{pid: c.Pid, since: time.Now(), digest: c.Labels["digest"], ended: make(chan hoist.Exit, 1)}
		d.slot, _ = strconv.Atoi(c.Labels["slot"])
		d.probation = c.Labels["probation"] == "true"
		if err := json.Unmarshal([]byte(c.Labels["dyno"]), &d.Dyno); err != nil || !c.Running {
			y.vacate(d)
			engine.Remove(ctx, c.ID)
			continue
		}
		if d.State = hoist.DynoStarting; y.state.Proven[d.ID] {
			d.State = hoist.DynoUp
		}
		d.Want = hoist.WantUp
		if d.stopBy = y.state.Ending[d.ID]; d.stopping() {
			d.State, d.Want = hoist.DynoStopping, hoist.WantDown
		}
		d.wrote = d.Want
		y.dynos[d.ID] = d
		y.log.Info("adopted", "dyno", d.Name(), "release", d.Version, "process", d.pid)
		go y.watch(y.seed.ctx, d)
	}
	return nil
}

func (y *system) slugFile(sum string) string {
	if sum == "" {
		return filepath.Dir(y.seed.cfg.SystemSlug("x"))
	}
	return y.seed.cfg.SystemSlug(sum)
}

// SystemSlug is the local file of a slug of the platform's own app.
func (s *Settings) SystemSlug(sum string) string {
	return filepath.Join(s.file("system"), "slugs", sum+".squashfs")
}

// slugLimit is how long one attempt to get a slug from the blob store may take.
const slugLimit = 15 * time.Minute

// fetched reports whether a slug is here. If it is not, it is fetched beside the loop, which a slow
// store must not hold up.
func (y *system) fetched(d *desired, slug hoist.Slug) bool {
	if y.here(slug.SHA256) {
		if y.fetching != "" {
			y.stopFetching()
			y.collectSlugs()
			clear(y.crashes) // dynos that could not be started without it
			clear(y.startAt)
		}
		return true
	}
	if y.fetching != slug.SHA256 {
		y.stopFetching()
		y.fetching = slug.SHA256
		y.log.Info("fetching the slug", "release", d.Version)
	}
	done, err := y.fetch.look(y.seed.ctx, y.wake, func(ctx context.Context) error { return y.get(ctx, slug) })
	text := fmt.Sprintf("of v%d is being fetched", d.Version)
	if err != nil {
		text = fmt.Sprintf("of v%d cannot be fetched: %s", d.Version, strings.TrimSuffix(err.Error(), "."))
	}
	if errors.Is(err, hoist.ErrCorrupt) || errors.Is(err, hoist.ErrNotFound) {
		text += ". Push another commit of " + hoist.SystemApp + ", or go back with `hoist seed rollback`"
	}
	if y.cannot["slug"] != text && err != nil {
		y.log.Error("slug", "release", d.Version, "err", err)
	}
	y.cannot["slug"] = text
	if done { // and lost again
		y.stopFetching()
	}
	return false
}

func (y *system) stopFetching() {
	y.fetch.stop()
	y.fetching = ""
	delete(y.cannot, "slug")
}

// get brings a slug here, whole, for a day without blob store.
func (y *system) get(ctx context.Context, slug hoist.Slug) error {
	ctx, cancel := context.WithTimeoutCause(ctx, slugLimit, fmt.Errorf("no end within %s", slugLimit))
	defer cancel()
	path := y.slugFile(slug.SHA256)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	r, _, err := y.seed.slugs.Get(ctx, slug.Key)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.CreateTemp(filepath.Dir(path), unfinishedSlug)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, hoist.SlugLimit+1)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != slug.SHA256 {
		return fmt.Errorf("the slug's checksum is %.12s, not %.12s: %w", got, slug.SHA256, hoist.ErrCorrupt)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// collectSlugs removes the slugs that nothing may need any more.
func (y *system) collectSlugs() {
	keep := map[string]bool{}
	for _, d := range y.state.kept() {
		keep[y.slugFile(d.Slug)] = true
	}
	for _, d := range y.dynos {
		keep[d.Env["slug"]] = true
	}
	files, _ := filepath.Glob(y.slugFile("*"))
	for _, path := range files {
		if st, err := os.Stat(path); err == nil && !keep[path] && time.Since(st.ModTime()) > time.Hour {
			os.Remove(path)
		}
	}
}

// environ is the environment of a component's dynos: the app's config, then
// exactly what the component has inside the seed, as a dyno sees it.
func (y *system) environ(c string, want *desired) (map[string]string, error) {
	env := map[string]string{}
	for k, v := range want.Config {
		env[k] = v
	}
	for _, kv := range Environ(y.seed.cfg.Settings, y.seed.state, c) {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "HOIST_SSH_HOST_KEY", "HOIST_TLS_CERT", "HOIST_TLS_KEY":
			text, err := os.ReadFile(value)
			if err != nil {
				return nil, err
			}
			value = string(text)
		case "HOIST_DIR":
			value = keptIn
		}
		env[name] = value
	}
	if c == hoist.ComponentRuntime {
		env["HOIST_DRAIN_ON_STOP"], env["HOIST_DRAIN_LIMIT"] = "true", drain.String()
	} else {
		env["HOIST_DRAIN"] = drain.String()
	}
	env["HOIST_SLUG_COMMIT"] = want.Commit
	env["HOIST_RELEASE_VERSION"] = "v" + strconv.Itoa(want.code().Version)
	return env, nil
}

// digestOf names all that a dyno is started with.
func digestOf(want *desired, p process, env map[string]string) string {
	text, _ := json.Marshal([]any{want.code().ReleaseID, want.Slug, p.Command, p.Size, env})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// members are a component's dynos, for planning.
func (y *system) members(c string, want *desired) (list []member) {
	digest := ""
	if want != nil {
		if env, err := y.environ(c, want); err == nil {
			digest = digestOf(want, want.Formation[c], env)
		} else {
			y.log.Error("environment", "component", c, "err", err)
		}
	}
	for _, d := range y.dynos {
		if d.Type == c {
			proven := y.state.Proven[d.ID]
			list = append(list, member{id: d.ID, number: d.Number, current: d.digest == digest && !d.asked,
				done: d.done || proven, proven: proven && time.Since(d.passed) > overlap, stopping: d.stopping()})
		}
	}
	return list
}

// freeSlot is a runtime's place: a directory, a network and a name. A good
// release's takes that of one that died: it is the same worker, whose dynos
// need not wait until it is lost.
func (y *system) freeSlot(good bool) int {
	taken := map[int]bool{}
	for _, d := range y.dynos {
		taken[d.slot] = true
	}
	for _, slot := range y.vacant {
		if good && !taken[slot] {
			return slot
		}
		taken[slot] = true
	}
	for slot := 1; slot < workers; slot++ { // the last is the engine's own
		if !taken[slot] {
			return slot
		}
	}
	return 0
}

// noPlace says why there is no place for a runtime, of a number that is wanted.
func noPlace(quantity int) error {
	why := fmt.Sprintf("there are %d runtimes already, with those that finish what is under way", workers-1)
	if quantity > hoist.MaxRuntimes {
		why += fmt.Sprintf("; of more than %d an upgrade does not end: `hoist ps:scale runtime=%[1]d -a %s`", hoist.MaxRuntimes, hoist.SystemApp)
	}
	return errors.New(why)
}

// vacate notes the place of a runtime that died; of several at once, those
// that had dynos are the first to be taken again.
func (y *system) vacate(d *systemDyno) {
	switch {
	case d.slot == 0:
	case y.state.Proven[d.ID]:
		y.vacant = slices.Insert(y.vacant, 0, d.slot)
	default:
		y.vacant = append(y.vacant, d.slot)
	}
}

// start starts a dyno. With an error it returns the one whose process could not be started, if it came to that.
func (y *system) start(ctx context.Context, c string, number int, want *desired) (*systemDyno, error) {
	p := want.Formation[c]
	if err := y.whole(want.Slug); err != nil {
		return nil, err
	}
	env, err := y.environ(c, want)
	if err != nil {
		return nil, err
	}
	d := &systemDyno{digest: digestOf(want, p, env), since: time.Now(), ended: make(chan hoist.Exit, 1)}
	code := want.code() // so that a rollback's is of the release that is known to be good, as are those that run on
	d.Dyno = hoist.Dyno{ID: hoist.NewID(), AppID: want.AppID, ReleaseID: code.ReleaseID, Version: code.Version, Kind: hoist.KindFormation,
		Type: c, Number: number, Size: p.Size, Command: p.Command, Restarts: y.crashes[c],
		Env: map[string]string{"slug": y.slugFile(want.Slug)}}
	env["HOIST_COMPONENT_ID"], env["DYNO"] = d.ID, d.Name()
	if d.probation = !y.state.good(want); d.probation {
		env["HOIST_PROBATION"] = "true"
	}
	grants := &hoist.Grants{HostNetwork: true}
	dir := filepath.Join(y.seed.cfg.file("system"), c) // the seed's own has other owners
	size := hoist.Size{Disk: 1 << 30}
	if c == hoist.ComponentRuntime {
		if d.slot = y.freeSlot(y.state.good(want)); d.slot == 0 {
			return nil, noPlace(p.Quantity)
		}
		network, err := y.seed.cfg.workerNetwork(d.slot)
		if err != nil {
			return nil, err
		}
		dir = y.seed.cfg.workerDir(d.slot)
		env["HOIST_NETWORK"], env["HOIST_ENGINE"] = network.String(), y.seed.cfg.workerName(d.slot)
		grants.Privileged = true
	} else {
		size = sizeNamed(p.Size)
		size.Pids = 4096 // git and Go need more than an app has a right to
		grants.IDs = uint32(0x0f00+slices.Index(hoist.Components, c)) << 16
	}
	if c == hoist.ComponentRouter {
		if err := passRoutes(y.seed.cfg.file(c), dir); err != nil {
			y.log.Warn("the routes that the seed knew", "err", err)
		}
	}
	if err := giveDir(dir, grants.IDs); err != nil {
		return nil, err
	}
	grants.Binds = []hoist.Bind{{Source: dir, Target: keptIn}}
	files, err := y.seed.handOver(c)
	defer func() {
		for _, f := range files {
			f.File.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	grants.Files = files
	text, err := json.Marshal(d.Dyno)
	if err != nil {
		return nil, err
	}
	begin, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	y.say(d.AppID, d.Name(), "heroku", fmt.Sprintf("Starting process with command `%s`", d.Command))
	err = y.engine.Start(begin, hoist.ContainerSpec{ID: d.ID, Name: d.Name(), SlugPath: d.Env["slug"], Command: d.Command, Env: env,
		Size: size, Grants: grants,
		Labels: map[string]string{"dyno": string(text), "digest": d.digest, "slot": strconv.Itoa(d.slot), "probation": strconv.FormatBool(d.probation)}})
	if err != nil {
		if err := y.engine.Remove(context.WithoutCancel(ctx), d.ID); err != nil {
			y.log.Error("left over from a failed start", "dyno", d.Name(), "err", err)
		}
		return d, err
	}
	list, _ := y.engine.List(ctx)
	for _, c := range list {
		if c.ID == d.ID {
			d.pid = c.Pid
		}
	}
	d.State, d.Want = hoist.DynoStarting, hoist.WantUp
	y.dynos[d.ID] = d
	y.vacant = slices.DeleteFunc(y.vacant, func(slot int) bool { return slot == d.slot })
	y.log.Info("started", "dyno", d.Name(), "release", d.Version, "process", d.pid)
	go y.watch(y.seed.ctx, d)
	return d, nil
}

// workerDir and workerName are the places of a runtime dyno's containers.
func (s *Settings) workerDir(slot int) string  { return s.file(fmt.Sprintf("runtime-%d", slot)) }
func (s *Settings) workerName(slot int) string { return fmt.Sprintf("%s-r%d", s.Name(), slot) }

func sizeNamed(name string) hoist.Size {
	i := slices.IndexFunc(hoist.Sizes, func(s hoist.Size) bool { return strings.EqualFold(s.Name, name) })
	return hoist.Sizes[max(i, 0)]
}

// giveDir makes a directory and gives it to user dyno of a range of ids, with
// all that is in it. 0 is root. A dyno may be at work there, and could put a link to
// a file of the host's where a directory was: nothing outside is touched.
func giveDir(dir string, ids uint32) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if ids == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	owner := int(ids) + 1000
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = root.Lchown(path, owner, owner)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody is at work there
		}
		return err
	})
}

// watch takes a dyno's lines to the app's log until it ends.
func (y *system) watch(ctx context.Context, d *systemDyno) {
	exit, err := y.engine.Watch(ctx, d.ID, systemOutput{y, d})
	if ctx.Err() == nil {
		if err != nil {
			exit.Code = -1
		}
		d.ended <- exit
		y.wake()
	}
}

// systemOutput is where a dyno's lines go.
type systemOutput struct {
	y *system
	d *systemDyno
}

// Line implements hoist.Output.
func (o systemOutput) Line(at hoist.Place, line []byte) {
	text := string(line)
	if said := o.d.said.Load(); said == nil || !dying(*said) {
		o.d.said.Store(&text)
	}
	o.y.append(o.d.AppID, at, o.d.Name(), "app", text)
	o.y.log.Info(text, "dyno", o.d.Name(), "line", true) // the bus may be away, or go before it is stored
}

// dying reports whether a line says why a Go program ends; where it was at that time follows.
func dying(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}

// Flush implements hoist.Output.
func (o systemOutput) Flush(ctx context.Context) error { return o.y.seed.bus.Flush(ctx) }

// Lost implements hoist.Output.
func (o systemOutput) Lost(n int) {
	o.y.say(o.d.AppID, o.d.Name(), "heroku",
		fmt.Sprintf("Error L10 (output buffer overflow): up to %d messages dropped, as the seed ended while the message bus was away.", n))
}

// say writes a line to the app's log, as a dyno's or of another source.
func (y *system) say(app hoist.ID, dyno, source, text string) {
	y.append(app, hoist.Place{}, dyno, source, text)
}

func (y *system) append(app hoist.ID, at hoist.Place, dyno, source, text string) {
	data, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: source, Dyno: dyno, Text: text})
	if err == nil {
		y.seed.bus.AppendAt(hoist.StreamLogs+app, at, data)
	}
}

// stop asks a dyno to finish and end.
func (y *system) stop(ctx context.Context, d *systemDyno) {
	y.log.Info("stopping", "dyno", d.Name(), "release", d.Version)
	y.say(d.AppID, d.Name(), "heroku", "Stopping process with SIGTERM")
	limit := drain + time.Minute
	if d.probation && !y.state.Proven[d.ID] { // it was never let in, and has nothing of anybody's under way
		limit = unprovenGrace
	}
	d.stopBy, d.State, d.Want = time.Now().Add(limit), hoist.DynoStopping, hoist.WantDown
	y.state.Ending[d.ID] = d.stopBy
	y.write() // before it ends its work, lest another seed takes it for one that serves
	if err := y.engine.Signal(ctx, d.ID, int(syscall.SIGTERM)); err != nil {
		y.log.Error("signal", "dyno", d.Name(), "err", err)
	}
}

// reap removes the dynos that have ended, and ends those that do not.
func (y *system) reap(ctx context.Context) {
	for id, d := range y.dynos {
		select {
		case exit := <-d.ended:
			y.log.Info("ended", "dyno", d.Name(), "release", d.Version, "code", exit.Code, "stopping", d.stopping())
			y.say(d.AppID, d.Name(), "heroku", fmt.Sprintf("Process exited with status %d", exit.Code))
			delete(y.dynos, id)
			if d.slot != 0 && !d.stopping() && y.hasProven(hoist.ComponentRuntime) {
				y.lose(ctx, d.slot) // another one takes its dynos
			}
			if err := y.engine.Remove(ctx, id); err != nil {
				y.log.Error("remove", "dyno", d.Name(), "err", err)
			}
			if d.stopping() {
				continue
			}
			y.backOff(d.Type)
			y.vacate(d)
			y.crashed(d, exit)
			y.tooMany(d, fmt.Sprintf("it exited with status %d", exit.Code))
		default:
			if d.stopping() && time.Now().After(d.stopBy) {
				y.engine.Signal(ctx, id, int(syscall.SIGKILL))
			}
		}
	}
}

// saveRows writes the dynos' rows, and reads what people want of them.
func (y *system) saveRows(ctx context.Context, app hoist.ID) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	rows, err := y.seed.db.SystemDynos(ctx, app)
	if err != nil {
		return
	}
	for _, row := range rows {
		if d := y.dynos[row.ID]; d != nil && row.Want != d.wrote && d.wrote != "" && row.Want != hoist.WantUp && !d.asked {
			y.log.Info("asked to restart", "dyno", d.Name())
			d.asked = true
		}
	}
	var list []postgres.SystemDyno
	for _, d := range y.dynos {
		want := d.Want
		if d.asked && want == hoist.WantUp {
			want = hoist.WantRestart
		}
		// An old one makes room for the row of its replacement.
		for _, other := range y.dynos {
			if other != d && other.Type == d.Type && other.Number == d.Number && other.since.After(d.since) && want == hoist.WantUp {
				want = hoist.WantRestart
			}
		}
		row := postgres.SystemDyno{Dyno: d.Dyno, Written: d.wrote}
		row.Want = want
		list = append(list, row)
	}
	if err := y.seed.db.SaveSystemDynos(ctx, app, list); err != nil {
		y.log.Error("dynos' rows", "err", err)
		return
	}
	for _, row := range list {
		y.dynos[row.ID].wrote = row.Want
	}
}
