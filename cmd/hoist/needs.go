package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// waits is what a need says of a component that does not work without it.
const waits = ""

// needs is what a component has asked its ground for: nobody gets a connection
// without saying what for, and what becomes of it without.
type needs struct {
	mu   sync.Mutex
	list []hoist.Need
}

func (n *needs) add(on, what, without string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, hoist.Need{On: on, For: what, Without: without})
}

// set notes what is missing now.
func (n *needs) set(on, missing string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.list {
		if n.list[i].On == on {
			n.list[i].Missing = missing
		}
	}
}

// missing reports whether a thing was, when it was looked for last.
func (n *needs) missing(on string) bool {
	return slices.ContainsFunc(n.all(), func(need hoist.Need) bool { return need.On == on && need.Missing != "" })
}

func (n *needs) all() []hoist.Need {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]hoist.Need{}, n.list...)
}

// database, bus and blobs are the connections of the component; what says
// what for, without how it starts and serves while it is missing, or waits.
// prefix is one of the blobs that it may read.
func (g *ground) database(what, without string) *postgres.DB {
	g.needs.add(hoist.NeedDatabase, what, without)
	return g.db
}

func (g *ground) bus(what, without string) hoist.Bus {
	g.needs.add(hoist.NeedBus, what, without)
	return g.nats
}

func (g *ground) blobs(what, without, prefix string) hoist.Blobs {
	g.probe = prefix + "none"
	g.needs.add(hoist.NeedBlobs, what, without)
	return g.store
}

// peer notes that the component has another one work for it: over a connection,
// or by a row that the other waits for.
func (g *ground) peer(component, what, without string) { g.needs.add(component, what, without) }

// waitsFor is what the component lacks, for people: what it says by itself, or
// the part of the ground that it cannot work without.
func (g *ground) waitsFor() string {
	var list []string
	for _, n := range g.needs.all() {
		if n.Missing != "" && n.Without == waits {
			list = append(list, "the "+n.On+" ("+n.Missing+")")
		}
	}
	if len(list) == 0 && g.own != nil {
		return g.own()
	}
	return strings.Join(list, ", ")
}

// look asks the ground whether it is there; the blob store less often unless it is missing, as
// each question may cost money.
func (g *ground) look(ctx context.Context, turn int) {
	ctx, cancel := context.WithTimeout(ctx, hoist.ReportInterval)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { g.needs.set(hoist.NeedDatabase, g.db.Missing(ctx)) })
	missing := ""
	if !g.nats.Connected() {
		missing = "it does not answer"
	}
	g.needs.set(hoist.NeedBus, missing)
	if g.probe != "" && (turn%5 == 0 || g.needs.missing(hoist.NeedBlobs)) {
		wait.Go(func() { g.needs.set(hoist.NeedBlobs, blobsMissing(ctx, g.store, g.probe)) })
	}
	wait.Wait()
}

func blobsMissing(ctx context.Context, blobs hoist.Blobs, key string) string {
	_, err := blobs.Stat(ctx, key)
	if _, answered := hoist.AsError(err); err == nil || answered || errors.Is(err, hoist.ErrNotFound) || ctx.Err() == context.Canceled {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it does not answer"
	}
	return err.Error()
}

// unchanged returns when the next report is due: at once when the component says that it waits
// for something else.
func (g *ground) unchanged(ctx context.Context, said string) {
	tick := time.NewTicker(hoist.ReportInterval / 10)
	defer tick.Stop()
	for due := time.Now().Add(hoist.ReportInterval); time.Now().Before(due) && g.waitsFor() == said; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report writes how the component is to its directory until ctx ends. That a
// write fails must not trouble it: then the seed knows less.
func (g *ground) report(ctx context.Context, id hoist.ID) {
	dir := g.env("HOIST_DIR")
	if dir == "" {
		return
	}
	path := filepath.Join(dir, strings.Replace(hoist.ReportPattern, "*", id, 1))
	defer os.Remove(path)
	r := hoist.Report{ID: id, PID: os.Getpid(), Version: version(), Since: time.Now()}
	for turn := 0; ctx.Err() == nil; turn++ {
		g.look(ctx, turn)
		r.Needs, r.WaitsFor = g.needs.all(), g.waitsFor()
		if text, err := json.Marshal(r); err == nil && os.MkdirAll(dir, 0o700) == nil {
			if os.WriteFile(path+".new", text, 0o600) == nil {
				os.Rename(path+".new", path)
			}
		}
		g.unchanged(ctx, r.WaitsFor)
	}
}
