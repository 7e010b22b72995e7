package router

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
)

// Store is what the router reads of the database.
type Store interface {
	// Routes returns the routes of the given apps that exist; of all if apps is nil.
	Routes(ctx context.Context, apps []hoist.ID) ([]hoist.Route, error)
	// Services returns where the platform's own hosts are served.
	Services(ctx context.Context) ([]hoist.Service, error)
	// AttachAddress returns the worker that has the attached dyno with the
	// SHA-256 of this secret; "" while it has none, ErrNotFound if there is no
	// such dyno.
	AttachAddress(ctx context.Context, secretHash []byte) (app hoist.ID, address string, err error)
}

// routes keeps the table equal to the database. Nothing leaves the table
// because the database or the bus is away.
type routes struct {
	store Store
	bus   hoist.Bus
	log   *slog.Logger
	path  string // of the snapshot; empty for none
	table atomic.Pointer[table]

	mu       sync.Mutex
	dirty    map[hoist.ID]bool // apps to read again
	services bool              // services to read again
	wake     chan struct{}
	waitsFor atomic.Pointer[string]
}

const (
	readTimeout   = 5 * time.Second
	readRetry     = 250 * time.Millisecond
	snapshotDelay = time.Second // after a change; more changes join it
	snapshotRetry = 10 * time.Second
	sweepInterval = maxIdle / 2
)

func newRoutes(domain string, store Store, bus hoist.Bus, dir string, log *slog.Logger) *routes {
	r := &routes{store: store, bus: bus, log: log, dirty: map[hoist.ID]bool{}, wake: make(chan struct{}, 1)}
	if dir != "" {
		r.path = filepath.Join(dir, "routes.json")
	}
	r.table.Store(newTable(domain))
	r.setWaitsFor("routes")
	return r
}

func (r *routes) setWaitsFor(what string) { r.waitsFor.Store(&what) }

// run follows the database until ctx ends.
func (r *routes) run(ctx context.Context) error {
	r.load()
	for subject, f := range map[string]func(subject string, data []byte){
		hoist.BellRoute + "*": func(subject string, _ []byte) { r.mark(strings.TrimPrefix(subject, hoist.BellRoute)) },
		hoist.BellComponent:   func(string, []byte) { r.mark("") },
	} {
		if err := r.bus.Listen(ctx, subject, f); err != nil {
			return err
		}
	}
	resync := time.NewTicker(hoist.ResyncInterval)
	defer resync.Stop()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	var saver sync.WaitGroup
	saver.Go(func() { r.keepSaved(ctx) })
	defer saver.Wait()
	all := true
	for {
		if ctx.Err() == nil {
			if err := r.read(ctx, all); err == nil {
				all = false
			} else if ctx.Err() == nil {
				all = true
				time.AfterFunc(readRetry, r.ring)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-resync.C:
			all = true
		case now := <-sweep.C:
			for b := range r.table.Load().backends() {
				b.sweep(now, false)
			}
		}
	}
}

// mark notes that an app (or, for "", the services) must be read again.
func (r *routes) mark(app hoist.ID) {
	r.mu.Lock()
	if app == "" {
		r.services = true
	} else {
		r.dirty[app] = true
	}
	r.mu.Unlock()
	r.ring()
}

func (r *routes) ring() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// read reads what is marked, or all, and publishes what has changed.
func (r *routes) read(ctx context.Context, all bool) error {
	r.mu.Lock()
	dirty, services := slices.Collect(maps.Keys(r.dirty)), r.services || all
	clear(r.dirty)
	r.services = false
	r.mu.Unlock()
	if !all && !services && len(dirty) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := r.refresh(ctx, all, dirty, services)
	what := ""
	if err != nil {
		what = "database: " + err.Error()
	}
	if old := r.waitsFor.Swap(&what); (*old == "") != (what == "") {
		if err != nil {
			r.log.Warn("routes cannot be read; going on with those known", "err", err)
		} else {
			t := r.table.Load()
			r.log.Info("routes read", "apps", len(t.apps), "hosts", len(t.hosts))
		}
	}
	return err
}

func (r *routes) refresh(ctx context.Context, all bool, dirty []hoist.ID, services bool) error {
	t := r.table.Load()
	next, changed := t.next(), !t.loaded
	if all || len(dirty) > 0 {
		which := dirty
		if all {
			which = nil
		}
		list, err := r.store.Routes(ctx, which)
		if err != nil {
			return err
		}
		found := make(map[hoist.ID]bool, len(list))
		for _, route := range list {
			found[route.AppID] = true
			changed = next.setApp(route) || changed
		}
		if all {
			dirty = slices.Collect(maps.Keys(next.apps))
		}
		for _, id := range dirty {
			if !found[id] && next.apps[id] != nil {
				delete(next.apps, id)
				changed = true
			}
		}
	}
	if services {
		list, err := r.store.Services(ctx)
		if err != nil {
			return err
		}
		changed = next.setServices(list) || changed
	}
	if changed {
		r.publish(t, next)
	}
	return nil
}

// publish makes next the table and wakes whoever waits for a change.
func (r *routes) publish(old, next *table) {
	next.index()
	r.table.Store(next)
	close(old.changed)
	keep := next.backends()
	for b := range old.backends() {
		if !keep[b] {
			b.sweep(time.Now(), true)
		}
	}
}

// load starts with the snapshot, if there is one.
func (r *routes) load() {
	if r.path == "" {
		return
	}
	list, err := readSnapshot(r.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("the snapshot of the routes cannot be used", "err", err)
		}
		return
	}
	t := r.table.Load()
	next := t.next()
	for _, route := range list.Apps {
		next.setApp(route)
	}
	next.setServices(list.Services)
	r.publish(t, next)
	r.log.Info("routes taken from the snapshot", "apps", len(next.apps))
}

// keepSaved writes the snapshot after each change, and at the end. It has a
// goroutine of its own, since a disk may take its time.
func (r *routes) keepSaved(ctx context.Context) {
	if r.path == "" {
		return
	}
	var saved uint64
	for end := false; !end; {
		end = ctx.Err() != nil
		t := r.table.Load()
		var again <-chan time.Time
		if t.loaded && t.gen != saved {
			if err := writeSnapshot(r.path, t.routes()); err == nil {
				saved = t.gen
			} else {
				r.log.Warn("the snapshot of the routes cannot be written", "err", err)
				again = time.After(snapshotRetry)
			}
		}
		select {
		case <-ctx.Done():
		case <-t.changed:
		case <-again:
		}
		select {
		case <-ctx.Done():
		case <-time.After(snapshotDelay):
		}
	}
}
