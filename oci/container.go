package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// record is what a later Engine must know of a container. It is written when
// the container has started: a directory without it is half made.
type record struct {
	ID        hoist.ID
	Name      string // of its control group, and the runtime's for it
	Labels    map[string]string
	IP        netip.Addr
	Egress    []netip.AddrPort
	Attach    bool
	Deadline  time.Time
	StartedAt time.Time
	Pid       int
	PidStart  uint64      // see processStat
	EndedBy   unix.Signal // that Signal sent as SIGKILL
	TimedOut  bool
	Exit      *hoist.Exit // once it has ended
	Granted   bool        // has grants
}

// container is a container that this engine knows.
type container struct {
	name string // see record
	dir  string
	disk int64 // bytes

	mu sync.Mutex
	record

	gate    *gate   // until it is open
	layers  *layers // until it has them itself
	slug    *slugMount
	process *process
	out     *output // nil when attached
	stream  *stream // when attached
	timer   *time.Timer
	done    chan struct{} // closed when it has ended and Exit is set

	removing sync.Mutex
	failed   bool // to start, and to be freed then; under mu
	freed    bool // under the engine's mu
}

const recordFile = "container.json"

// save writes the record; c.mu is held.
func (c *container) save() error {
	data, err := json.Marshal(c.record)
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, recordFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func loadRecord(dir string) (r record, err error) {
	data, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (c *container) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *container) setEndedBy(sig unix.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.EndedBy == sig {
		return nil
	}
	c.EndedBy = sig
	return c.save()
}

// watchDeadline kills the container when its time is over.
func (c *container) watchDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Deadline.IsZero() {
		return
	}
	c.timer = time.AfterFunc(time.Until(c.Deadline), func() {
		if c.ended() {
			return
		}
		c.mu.Lock()
		c.TimedOut = true
		c.save()
		c.mu.Unlock()
		c.process.kill(unix.SIGKILL)
	})
}

// supervise waits for the end of the container's process and finds out how it ended,
// before anything is deleted that tells.
func (e *Engine) supervise(c *container) {
	code := -1
	if c.process != nil {
		stop, err := e.endAtOOM(c)
		if err != nil {
			e.log.Warn("if its memory is used up, the container may lose a process and go on", "container", c.name, "err", err)
		}
		code = c.process.wait()
		stop()
	}
	if e.closed.Load() {
		return
	}
	exit := hoist.Exit{
		Code:     code,
		OOM:      e.cgroups.oomKilled(c.name),
		PidsFull: e.cgroups.pidsFull(c.name),
		DiskFull: diskFull(filepath.Join(c.dir, diskFile)),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	exit.TimedOut = c.TimedOut
	if c.EndedBy != 0 && code == 128+int(unix.SIGKILL) && !exit.OOM && !exit.TimedOut {
		exit.Code = 128 + int(c.EndedBy)
	}
	c.Exit = &exit
	if c.Pid != 0 {
		if err := c.save(); err != nil {
			e.log.Error("container's end is not recorded", "container", c.ID, "err", err)
		}
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.done)
}

// adopt takes over a container that an earlier engine started.
func (e *Engine) adopt(dir string, r record) (*container, error) {
	c := &container{name: cmp.Or(r.Name, r.ID), dir: dir, record: r, done: make(chan struct{})}
	if !c.Attach {
		out, err := openOutput(dir)
		if err != nil {
			return nil, err
		}
		c.out = out
	}
	if c.IP.IsValid() {
		if _, err := e.network.take(c.IP); err != nil {
			return nil, err
		}
	}
	if c.Exit == nil {
		// A process that is not there any more ended unseen.
		c.process, _ = openProcess(c.Pid, c.PidStart)
	}
	if c.Exit != nil {
		close(c.done)
		return c, nil
	}
	go e.supervise(c)
	if c.process != nil {
		c.watchDeadline()
		if c.Attach { // nobody is at the other end any more
			if err := c.process.kill(unix.SIGKILL); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// freeLimit is how long a container may take to be freed where nobody waits for it.
const freeLimit = 30 * time.Second

// free removes all that a container has, however far it got. It can be repeated, and has
// to be if ctx ends before the container's process does: one that waits for a disk cannot be killed.
func (e *Engine) free(ctx context.Context, c *container) error {
	if c.gate != nil {
		c.gate.close()
	}
	if c.process != nil {
		if err := c.process.kill(unix.SIGKILL); err != nil {
			return err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("oci: container %s does not end: %w", c.name, ctx.Err())
		}
	}
	if c.layers != nil {
		c.layers.close()
	}
	if c.stream != nil {
		c.stream.shut()
	}
	left := e.cgroups.pids(c.name)
	if err := e.cgroups.remove(c.name); err != nil {
		return err
	}
	if err := e.runtime.forget(c.name); err != nil {
		return err
	}
	for _, pid := range left { // of a runtime that was killed half-way; else no child of ours
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
	if c.IP.IsValid() {
		if err := e.firewall.forbid(c.IP, c.Egress); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if c.slug != nil {
		e.slugs.release(c.slug)
		c.slug = nil
	}
	c.mu.Unlock()
	// What has no record is removed by the next engine, however much of it is left.
	if err := os.Remove(filepath.Join(c.dir, recordFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	if c.out != nil {
		c.out.close()
	}
	if c.process != nil {
		c.process.file.Close()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.containers[c.ID] == c {
		delete(e.containers, c.ID)
	}
	if c.IP.IsValid() && !c.freed {
		e.network.release(c.IP)
	}
	c.freed = true
	return nil
}
