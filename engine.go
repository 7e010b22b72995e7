package hoist

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Engine starts and stops containers. What it runs survives the process that
// uses it: a new Engine on the same directory finds the containers again with
// List, and Watch works on them. Implementations: package oci.
type Engine interface {
	// Start runs a container and returns when its process was started.
	Start(ctx context.Context, spec ContainerSpec) error
	// Attach returns the container's terminal or pipes; only for specs with
	// Attach, once. Closing the stream hangs the container up (SIGHUP) and,
	// for pipes, closes its standard input.
	Attach(id ID) (io.ReadWriteCloser, error)
	// Watch streams the container's output lines to out (nil when attached),
	// from where the last watcher stopped, until it ends, and says how. A
	// cancelled ctx leaves the container alone.
	Watch(ctx context.Context, id ID, out func(line []byte)) (Exit, error)
	// Signal sends a signal to every process of the container.
	Signal(ctx context.Context, id ID, sig int) error
	// Remove kills what is left and frees everything the container had.
	Remove(ctx context.Context, id ID) error
	// List returns the containers there are, running or ended but not removed.
	List(ctx context.Context) ([]Container, error)
}

// ContainerSpec is what to run.
type ContainerSpec struct {
	ID       ID
	Name     string // host name inside, e.g. "web.1"
	Labels   map[string]string
	SlugPath string // squashfs image, mounted at /app; empty for an empty /app
	Command  string // run by bash as Heroku does: .profile.d first, HOME=/app
	Env      map[string]string
	Size     Size
	Attach   bool // standard streams are for Attach, not for Watch
	TTY      bool
	Port     int              // the container may be reached here; 0 for none
	Egress   []netip.AddrPort // host addresses it may reach, beside the internet
	Deadline time.Time        // zero for none; killed when it is over
}

// Container is what the engine runs.
type Container struct {
	ID        ID
	Labels    map[string]string
	IP        netip.Addr
	StartedAt time.Time
	Running   bool
}

// Exit says how a container ended.
type Exit struct {
	Code      int // 128+n for signal n; -1 if it cannot be known
	OOM       bool
	DiskFull  bool
	TimedOut  bool
	StartedAt time.Time
	EndedAt   time.Time
}
