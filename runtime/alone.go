package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

// served is a dyno that the router sends requests to, and all that its container was started
// with. There is a file of each: after a power cut they serve again although the database does
// not come back, at the addresses that the router has in its own snapshot. Only those: whether
// another worker has them by now cannot be known then, and while a request may be answered
// here or there, what a background process does must not be done twice.
type served struct {
	Dyno hoist.Dyno
	Spec hoist.ContainerSpec
}

func (r *Runtime) servedFile(id hoist.ID) string {
	return filepath.Join(r.cfg.Dir, "serving", id+".json")
}

// remember writes down that the dyno serves.
func (s *supervisor) remember() {
	if !serves(s.dyno) || s.began.ID == "" || s.proc == nil {
		return
	}
	s.began.IP = s.proc.ip
	path := s.r.servedFile(s.dyno.ID)
	text, err := json.Marshal(served{s.dyno, s.began})
	if err == nil {
		err = writeFile(path, text)
	}
	if err != nil {
		s.log.Warn("it would not serve without the database", "error", err)
	}
}

// writeFile writes a file of its own directory, whole or not at all.
func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// forget is for dynos that are not ours any more.
func (r *Runtime) forget(id hoist.ID) { os.Remove(r.servedFile(id)) }

// served are the dynos that served here last, but for those whose files cannot be read.
func (r *Runtime) served() (list []served) {
	files, _ := filepath.Glob(r.servedFile("*"))
	for _, path := range files {
		var d served
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &d)
		}
		if err == nil && d.Dyno.ID != strings.TrimSuffix(filepath.Base(path), ".json") {
			err = fmt.Errorf("%s is of dyno %q", path, d.Dyno.ID)
		}
		if err != nil {
			r.log.Warn("what served here last", "error", err)
			continue
		}
		list = append(list, d)
	}
	return list
}

// awaitDatabase waits until the database is there. If that takes long, what served requests here
// last does it again meanwhile.
func (r *Runtime) awaitDatabase(ctx context.Context) error {
	meanwhile, stop := context.WithCancel(ctx)
	var alone sync.WaitGroup
	defer alone.Wait()
	defer stop()
	alone.Go(func() {
		if sleep(meanwhile, r.cfg.AloneAfter); meanwhile.Err() == nil {
			r.alone(meanwhile)
		}
	})
	return r.db.WaitForSchema(ctx, r.waitsFor)
}

// alone keeps the dynos that served here last running until ctx ends. Then
// they go on.
func (r *Runtime) alone(ctx context.Context) {
	list := r.served()
	if len(list) == 0 {
		return
	}
	r.log.Warn("the database does not come: what served requests here last is started without it", "dynos", len(list))
	var all sync.WaitGroup
	for _, d := range list {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				if err := r.runAlone(ctx, d); err != nil && ctx.Err() == nil {
					r.log.Error("cannot run the dyno without the database", "app", d.Dyno.AppName, "dyno", d.Dyno.Name(), "error", err)
				}
				if time.Since(began) > provenUp {
					n = 0
				}
				sleep(ctx, backoff(r.cfg.Backoff, n))
			}
		})
	}
	all.Wait()
}

// runAlone starts a dyno, unless it runs, and takes its lines to the log until it ends.
func (r *Runtime) runAlone(ctx context.Context, d served) error {
	containers, err := r.engine.List(ctx)
	if err != nil {
		return err
	}
	running := false
	for _, c := range containers {
		running = running || c.ID == d.Dyno.ID && c.Running
	}
	if !running {
		if err := r.engine.Remove(ctx, d.Dyno.ID); err != nil {
			return err
		}
		if err := r.engine.Start(ctx, d.Spec); err != nil {
			return err
		}
		r.say(d.Dyno, fmt.Sprintf("Starting process with command `%s`, without the database", d.Spec.Command))
	}
	out := r.newOutput(d.Dyno)
	defer out.confess()
	_, err = r.engine.Watch(ctx, d.Dyno.ID, out)
	return err
}

// again starts a dyno that served and has crashed as it was, if the database is away: its row stays
// as it is. It reports whether that was done.
func (s *supervisor) again(ctx context.Context) bool {
	spec := s.began
	if spec.ID == "" { // it was adopted
		for _, d := range s.r.served() {
			if d.Dyno.ID == s.dyno.ID {
				spec = d.Spec
			}
		}
	}
	if !serves(s.dyno) || spec.ID == "" || !s.r.away.Load() {
		return false
	}
	if time.Since(s.proc.since) > provenUp {
		s.agains = 0
	}
	spec.IP = s.proc.ip
	for due := time.Now(); ; {
		due = due.Add(backoff(s.r.cfg.Backoff, s.agains))
		s.agains++
		for time.Now().Before(due) {
			select {
			case <-s.stop:
				return false
			case <-time.After(min(time.Until(due), heartbeat)):
			}
			if ctx.Err() != nil || !s.r.away.Load() {
				return false
			}
		}
		if s.proc != nil {
			s.noteExit()
			s.say("State changed from up to crashed; it is started again without the database")
		}
		s.remove(ctx)
		err := s.run(ctx, spec)
		if err == nil {
			break
		}
		s.log.Error("cannot start the dyno without the database", "error", err)
	}
	if s.dyno.Address != serveAddress(s.proc.ip) {
		s.to(ctx, hoist.DynoStarting)
	}
	return true
}
