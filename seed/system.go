package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/proof"
)

// Engine runs the platform's own dynos.
type Engine interface {
	hoist.Engine
	io.Closer
	Teardown(context.Context) error // removes all it has on the machine, and closes it
}

const (
	systemTick  = 500 * time.Millisecond
	overlap     = time.Second      // for others to learn of a proven dyno, before the old one stops
	rescueAfter = 20 * time.Second // without a proven dyno the seed does a component's work itself
	maxCrashes  = 3                // in a row, of a release's dynos, or of the seed
)

// startOrder begins with those without which no app serves.
var startOrder = []string{hoist.ComponentRuntime, hoist.ComponentRouter, hoist.ComponentAPI, hoist.ComponentGit, hoist.ComponentLogs, hoist.ComponentCompile}

// desired is what shall run: a release of the platform's own app.
type desired struct {
	AppID     hoist.ID           `json:"app_id"`
	ReleaseID hoist.ID           `json:"release_id"`
	Version   int                `json:"version"`
	Commit    string             `json:"commit"`
	Slug      string             `json:"slug"` // SHA-256, and the name of the local file
	Config    map[string]string  `json:"config"`
	Formation map[string]process `json:"formation"`
	// As is the release of which this one, a rollback by the seed, is a copy:
	// what runs of that one runs on.
	As *sameAs `json:"as,omitempty"`
}

// sameAs is a release.
type sameAs struct {
	ReleaseID hoist.ID `json:"release_id"`
	Version   int      `json:"version"`
}

// rolledBack is a release that the seed made: of which it is a copy, and why.
type rolledBack struct {
	sameAs
	Why string `json:"why,omitempty"`
}

// code is the release whose dynos run, which is another one after a rollback.
func (d *desired) code() sameAs {
	if d.As != nil {
		return *d.As
	}
	return sameAs{d.ReleaseID, d.Version}
}

// has reports whether a dyno is of the release.
func (d *desired) has(dyno *systemDyno) bool {
	return d != nil && (dyno.ReleaseID == d.ReleaseID || dyno.ReleaseID == d.code().ReleaseID)
}

type process struct {
	Command  string `json:"command"`
	Quantity int    `json:"quantity"`
	Size     string `json:"size"`
}

// systemState is system.json: enough to start the platform's own app without
// the database.
type systemState struct {
	Good   *desired                `json:"good,omitempty"`   // the last release that proved itself in all its types, and lasts so far
	Next   *desired                `json:"next,omitempty"`   // the app's current release
	Failed map[hoist.ID]string     `json:"failed"`           // releases that did not prove themselves, and why
	Proven map[hoist.ID]bool       `json:"proven"`           // dynos
	Same   map[hoist.ID]rolledBack `json:"same,omitempty"`   // releases that are rollbacks by the seed
	Ending map[hoist.ID]time.Time  `json:"ending,omitempty"` // dynos that were told to end, and when they will be killed

	History    []provenRelease      `json:"history,omitempty"`     // the oldest first
	Override   *override            `json:"override,omitempty"`    // a rollback that the database does not know yet
	Rescued    map[string]time.Time `json:"rescued,omitempty"`     // components whose work the seed does until told otherwise
	Seed       *successor           `json:"seed,omitempty"`        // the program that the seed is replaced by
	SeedBefore *successor           `json:"seed_before,omitempty"` // the one that was good before it
}

// wanted is the current release or, if that failed, the last good one with the
// current one's quantities.
func (s *systemState) wanted() *desired {
	if s.Override != nil {
		return s.Override.To.withQuantities(s.Next)
	}
	if s.Next == nil || s.Failed[s.Next.ReleaseID] == "" {
		return s.Next
	}
	if s.Good == nil {
		return nil
	}
	return s.Good.withQuantities(s.Next)
}

func (s *systemState) makeMaps() {
	if s.Proven == nil {
		s.Proven = map[hoist.ID]bool{}
	}
	if s.Failed == nil {
		s.Failed = map[hoist.ID]string{}
	}
	if s.Ending == nil {
		s.Ending = map[hoist.ID]time.Time{}
	}
	if s.Same == nil {
		s.Same = map[hoist.ID]rolledBack{}
	}
}

// good reports whether a release is known to be good.
func (s *systemState) good(d *desired) bool {
	return d != nil && (s.Good != nil && s.Good.code() == d.code() ||
		slices.ContainsFunc(s.History, func(r provenRelease) bool { return r.code() == d.code() }))
}

// knownGood reports whether a dyno is of a release that is known to be good.
func (s *systemState) knownGood(d *systemDyno) bool {
	return s.Good.has(d) || slices.ContainsFunc(s.History, func(r provenRelease) bool { return r.has(d) })
}

// system runs the platform's own app: one loop makes its dynos equal to what
// its release and formation ask for, and has the seed do a component's work as
// long as no dyno does.
type system struct {
	seed   *Seed
	log    *slog.Logger
	engine Engine // nil before there is an app
	prover *proof.Prover
	kick   chan struct{}

	mu        sync.Mutex
	state     systemState
	dynos     map[hoist.ID]*systemDyno
	crashes   map[string]int       // in a row, by component
	rows      map[string]*row      // of crashes, by dyno
	startAt   map[string]time.Time // not before
	provenAt  map[string]time.Time // a proven dyno was seen
	chain     trial                // of the whole, when all dynos have proven themselves
	fetch     trial                // of the slug fetching
	fetching  string               // SHA-256
	noted     map[hoist.ID]string  // states of releases that are in the database
	cannot    map[string]string    // why a dyno could not be started lately, by component; and of the seed and the slug
	vacant    []int                // slots of runtimes that died with dynos in them
	savedText string
	shown     atomic.Pointer[SystemStatus]
}

func newSystem(s *Seed) (*system, error) {
	y := &system{seed: s, log: s.log.With("app", hoist.SystemApp), kick: make(chan struct{}, 1),
		dynos: map[hoist.ID]*systemDyno{}, crashes: map[string]int{}, rows: map[string]*row{}, startAt: map[string]time.Time{}, provenAt: map[string]time.Time{}, noted: map[hoist.ID]string{}, cannot: map[string]string{}}
	y.proveWith()
	y.removeUnfinished()
	text, err := os.ReadFile(y.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &y.state); err != nil {
			y.log.Error("system.json is damaged: waiting for the database", "err", err)
			y.state = systemState{}
		}
	}
	y.state.makeMaps()
	if y.refuses(y.state.Seed) {
		y.log.Error("the seed " + y.cannot["seed"])
	}
	now := time.Now()
	for _, c := range hoist.Components { // time to come back before the seed does their work
		y.provenAt[c] = now
	}
	// Dynos may run although what shall run is not known: system.json was damaged.
	if s.cfg.Engine != nil && (y.state.wanted() != nil || hasContainers(y.engineDir())) {
		if err := y.open(context.Background()); err != nil {
			y.log.Error("no engine for the platform's own dynos", "err", err)
		}
	}
	return y, nil
}

func (y *system) engineDir() string { return filepath.Join(y.seed.cfg.file("system"), "engine") }

func (y *system) file() string { return y.seed.cfg.file("system.json") }

func (y *system) close() {
	if y.engine != nil {
		y.engine.Close()
	}
}

// keeps reports whether dynos are meant to do a component's work from the
// start: those that run, or those of a release that need not prove itself first.
func (y *system) keeps(component string) bool {
	d := y.state.wanted()
	if y.engine == nil || d == nil || y.state.rescued(component, d.Formation[component]).Quantity == 0 {
		return false
	}
	return y.state.Good != nil || y.hasProven(component)
}

// hasProven reports whether a proven dyno of a component runs.
func (y *system) hasProven(component string) bool {
	for id, d := range y.dynos {
		if d.Type == component && y.state.Proven[id] && !d.stopping() {
			return true
		}
	}
	return false
}

// pids are the first processes of a component's dynos.
func (y *system) pids(component string) (pids []int) {
	for _, d := range y.dynos {
		if d.Type == component && d.pid != 0 {
			pids = append(pids, d.pid)
		}
	}
	return pids
}

// run is the loop; it leaves the dynos running.
func (y *system) run(ctx context.Context) {
	if y.seed.cfg.Engine == nil {
		return
	}
	y.seed.bus.Listen(ctx, hoist.BellFormation+"*", func(subject string, _ []byte) { y.wake() })
	tick := time.NewTicker(systemTick)
	defer tick.Stop()
	for looked := (time.Time{}); ctx.Err() == nil; {
		rung := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-y.kick:
			rung = true
		}
		if ctx.Err() != nil { // what is cancelled says nothing of dynos and the ground
			return
		}
		if rung || time.Since(looked) > hoist.ResyncInterval || y.unsettled() {
			looked = time.Now()
			y.look(ctx)
		}
	}
}

func (y *system) wake() {
	select {
	case y.kick <- struct{}{}:
	default:
	}
}

func (y *system) unsettled() bool {
	st := y.shown.Load()
	return st != nil && !st.Settled
}

// look is one turn of the loop.
func (y *system) look(ctx context.Context) {
	y.mu.Lock()
	defer y.mu.Unlock()
	there := y.refresh(ctx)
	want := y.state.wanted()
	if want == nil && y.engine == nil || ctx.Err() != nil {
		return
	}
	if y.engine == nil {
		if err := y.open(ctx); err != nil {
			y.log.Error("no engine for the platform's own dynos", "err", err)
			return
		}
	}
	if err := y.seed.cfg.HoldAddress(y.seed.cfg.gateway()); err != nil {
		y.log.Error("gateway", "err", err)
	}
	y.reap(ctx)
	if y.state.Next == nil && !there { // what runs serves, and only the database knows what of
		y.show(want, false)
		return
	}
	ground := y.prove(ctx, there)
	y.lasts(ground)
	want = y.state.wanted()
	all := want != nil
	for _, c := range startOrder {
		all = y.adjust(ctx, c, want) && all
	}
	if all {
		all = y.conclude(want, ground)
	}
	if all {
		y.tidy(ctx)
	}
	y.save(ctx, want)
	if there {
		y.note(ctx, all && want == y.state.Next)
	}
	y.succeed(ctx, there && all && want == y.state.Next)
	y.show(want, all)
}

// adjust makes one process type as it shall be, and reports whether it is.
func (y *system) adjust(ctx context.Context, c string, want *desired) bool {
	var p process
	if want != nil {
		p = y.state.rescued(c, want.Formation[c])
	}
	own := y.inside(c)
	members := y.members(c, want)
	now := time.Now()
	if anyProven(members) {
		y.provenAt[c] = now
	}
	start, stop := planType(p.Quantity, members)
	switch {
	case own == nil:
	case p.Quantity == 0:
		own.turn(true)
		y.takeBack(ctx, own)
	case settled(p.Quantity, members) && own.on():
		if c == hoist.ComponentRuntime {
			if own.leave(true); !y.moved(ctx) {
				break
			}
		}
		y.log.Info("handed over", "component", c, "to", len(members), "release", want.Version)
		own.turn(false)
	case !own.on() && (now.Sub(y.provenAt[c]) > rescueAfter || len(members) == 0 && y.slugless(want)):
		y.log.Warn("no dyno does it: the seed does it itself", "component", c)
		own.turn(true)
	case own.isLeaving() && now.Sub(y.provenAt[c]) > rescueAfter:
		y.takeBack(ctx, own)
	}
	if p.Quantity == 0 && own != nil && own.onFor() < 3*time.Second {
		stop = nil // until the seed does its work
	}
	if now.After(y.startAt[c]) {
		if y.vacancy(c, want) {
			for n := 1; n <= p.Quantity; n++ {
				y.tryStart(ctx, c, n, y.state.Good.withQuantities(want))
			}
		}
		for _, n := range start {
			y.tryStart(ctx, c, n, want)
		}
	}
	// Who was in a vacant place may come back, but not when others do its work by then.
	if c == hoist.ComponentRuntime && len(y.vacant) > 0 && (now.After(y.startAt[c]) || own != nil && own.on() && !own.isLeaving()) {
		y.loseVacant(ctx)
	}
	for _, id := range stop {
		y.stop(ctx, y.dynos[id])
	}
	return len(start) == 0 && len(stop) == 0 && settled(p.Quantity, members)
}

// vacancy reports whether nobody does a component's work, or will before a new
// release has proved itself: after a power cut, say. The last good one's dynos then do.
func (y *system) vacancy(c string, want *desired) bool {
	if own := y.inside(c); y.state.Good == nil || y.state.good(want) || own != nil && own.on() {
		return false
	}
	for _, d := range y.dynos {
		if d.Type == c && !d.stopping() && (y.state.Proven[d.ID] || y.state.Good.has(d)) {
			return false
		}
	}
	return true
}

func (y *system) tryStart(ctx context.Context, c string, n int, want *desired) {
	d, err := y.start(ctx, c, n, want)
	switch {
	case err == nil:
		delete(y.cannot, c)
	case ctx.Err() != nil: // the seed ends
	default:
		y.cannot[c] = err.Error()
		y.log.Error("cannot start", "dyno", fmt.Sprintf("%s.%d", c, n), "err", err)
		y.backOff(c)
		if d != nil {
			y.tooMany(d, err.Error())
		}
	}
}

// backOff delays the next start of a component's dynos, but not after a first crash.
func (y *system) backOff(c string) {
	y.crashes[c]++
	if n := y.crashes[c]; n > 1 {
		y.startAt[c] = time.Now().Add(min(time.Second<<min(n-2, 6), time.Minute))
	}
}

// tooMany gives a release up whose dynos have crashed, or could not be started, too often before their proof.
func (y *system) tooMany(d *systemDyno, why string) {
	if !y.state.Proven[d.ID] && y.crashes[d.Type] >= maxCrashes {
		y.failDyno(d, why)
	}
}

func (y *system) inside(c string) *inside {
	i := slices.IndexFunc(y.seed.components, func(i *inside) bool { return i.task.name == c })
	if i < 0 {
		return nil
	}
	return y.seed.components[i]
}

// moved asks the seed's own runtime to move its dynos to others, and reports
// whether it has none any more.
func (y *system) moved(ctx context.Context) bool {
	id, err := workerIn(y.seed.cfg.file(hoist.ComponentRuntime))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	n, err := y.seed.db.DrainWorker(ctx, id)
	return err == nil && n == 0
}

// takeBack has the seed's own runtime, which was about to have no dynos any more, take some again.
func (y *system) takeBack(ctx context.Context, own *inside) {
	if !own.isLeaving() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	id, err := workerIn(y.seed.cfg.file(own.task.name))
	if err == nil {
		err = y.seed.db.ResumeWorker(ctx, id)
	}
	if err != nil {
		y.log.Warn("no dyno does it, and the seed does not yet", "component", own.task.name, "err", err)
		return
	}
	y.log.Info("not handed over after all", "component", own.task.name)
	own.leave(false)
}

// workerIn is the worker whose directory it is.
func workerIn(dir string) (hoist.ID, error) {
	text, err := os.ReadFile(filepath.Join(dir, "worker"))
	return strings.TrimSpace(string(text)), err
}

// loseVacant says of the workers in vacant slots that they are lost.
func (y *system) loseVacant(ctx context.Context) {
	y.vacant = slices.DeleteFunc(y.vacant, func(slot int) bool { return y.lose(ctx, slot) })
}

// lose says of the worker in a slot that it is lost, which others would only find
// out in time: its dynos start elsewhere at once. It reports whether that is said.
func (y *system) lose(ctx context.Context, slot int) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	id, err := workerIn(y.seed.cfg.workerDir(slot))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	if err := y.seed.db.LoseWorker(ctx, id); err != nil {
		return false
	}
	y.seed.bus.Ring(hoist.BellWorker, nil)
	y.log.Info("lost", "worker", id, "slot", slot)
	return true
}

// save writes system.json and the rows of the dynos.
func (y *system) save(ctx context.Context, want *desired) {
	y.write()
	if y.state.Next != nil {
		y.saveRows(ctx, y.state.Next.AppID)
	}
}

// write writes system.json.
func (y *system) write() {
	if y.engine != nil { // else nobody knows yet who runs
		maps.DeleteFunc(y.state.Proven, func(id hoist.ID, _ bool) bool { return y.dynos[id] == nil })
		maps.DeleteFunc(y.state.Ending, func(id hoist.ID, _ time.Time) bool { return y.dynos[id] == nil })
	}
	text, err := json.MarshalIndent(y.state, "", "  ")
	if err == nil && string(text) != y.savedText {
		if err = writeFile(y.file(), append(text, '\n'), 0o600); err == nil {
			y.savedText = string(text)
		}
	}
	if err != nil {
		y.log.Error("system.json", "err", err)
	}
}
