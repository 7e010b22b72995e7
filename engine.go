package hoist

import (
	"context"
	"io"
	"net/netip"
	"os"
	"time"
)

// Engine starts and stops containers. What it runs survives the process that
// uses it: a new Engine on the same directory finds the containers again with
// List, and Watch works on them. All but Start, Remove and List return ErrNotFound for a container that
// was not started, or was removed. Implementations: package oci.
type Engine interface {
	// Start runs a container and returns when its process was started; os.ErrExist if there is
	// one of that ID. After an error nothing is left, or what Remove removes.
	Start(ctx context.Context, spec ContainerSpec) error
	// Attach returns the container's terminal or pipes; only for specs with
	// Attach, once: then it is ErrConflict. Closing the stream hangs the container up (SIGHUP) and,
	// for pipes, closes its standard input.
	Attach(id ID) (io.ReadWriteCloser, error)
	// Watch streams the container's output lines to out (nil when attached),
	// from where the last watcher stopped, until it ends, and says how. A
	// cancelled ctx leaves the container alone; the error is then that of ctx.
	Watch(ctx context.Context, id ID, out Output) (Exit, error)
	// Signal sends a signal to every process of the container; it is no error if that has ended.
	Signal(ctx context.Context, id ID, sig int) error
	// Memory returns the bytes that the container's processes use, without
	// what the kernel caches of files for them.
	Memory(ctx context.Context, id ID) (int64, error)
	// Connections counts the TCP connections that others have to a port of the
	// container; those that they have closed are none.
	Connections(ctx context.Context, id ID, port int) (int, error)
	// Remove kills what is left and frees everything the container had; it is no error if
	// there is none.
	Remove(ctx context.Context, id ID) error
	// List returns the containers there are, running or ended but not removed.
	List(ctx context.Context) ([]Container, error)
}

// Output is where a container's lines go, one call at a time but for Flush.
type Output interface {
	// Line takes a line without its end, which is not to be kept, and where it
	// stands. After a watcher was killed or cancelled the next one may be given
	// the last lines again, with the same places.
	Line(at Place, line []byte)
	// Flush waits until the lines are where they outlive this process; the error is that of ctx.
	Flush(ctx context.Context) error
	// Lost says that up to n lines were lost with an earlier watcher, which
	// ended before they were flushed.
	Lost(n int)
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
	IP       netip.Addr       // one that it had before, to have again if nobody else has it; zero for any
	Egress   []netip.AddrPort // host addresses it may reach, beside the internet
	Deadline time.Time        // zero for none; killed when it is over
	Grants   *Grants          // nil for every dyno but the platform's own
}

// Grants are what a dyno of the platform itself has that no other may have.
// One with grants gets signals in its first process only, which sees to the others.
type Grants struct {
	// HostNetwork leaves it in the host's network namespace, without an address of its own.
	HostNetwork bool
	// Files are open in its first process from descriptor 3 on, under these
	// names in LISTEN_FDNAMES (sd_listen_fds(3)).
	Files []NamedFile
	// Binds are directories and files of the host that it sees.
	Binds []Bind
	// IDs is the first of the 65,536 user ids of the host that it has instead
	// of a free range, so that what it wrote on a bind stays its own; a
	// multiple of 65,536. Privileged ones have the host's.
	IDs uint32
	// Privileged lets it make containers itself. It is as strong as the host's root.
	Privileged bool
}

// NamedFile is an open file to hand over.
type NamedFile struct {
	Name string
	File *os.File
}

// Bind shows the host's Source at Target, which must be below /var/lib/hoist.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Container is what the engine runs.
type Container struct {
	ID        ID
	Labels    map[string]string
	IP        netip.Addr // not valid if it is in the host's network
	Pid       int        // of its first process
	StartedAt time.Time
	Running   bool
}

// Exit says how a container ended.
type Exit struct {
	Code     int  // 128+n for signal n; -1 if it cannot be known
	OOM      bool // it used up its memory (Size.MemoryLimit) and was killed
	DiskFull bool
	PidsFull bool // it was refused a process or thread, having as many as it may
	TimedOut bool // its Deadline was over
}
