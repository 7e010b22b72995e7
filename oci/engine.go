package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// Config says where and how an Engine runs containers.
type Config struct {
	// Name keeps the cgroups, interfaces and firewall of several engines on
	// one machine apart: letters, digits and "-", 32 at most. Default "hoist".
	Name string
	// Dir is where containers live. It must outlast the process, and hold the
	// dynos' disks.
	Dir string
	// Network are the dynos' addresses: IPv4, /18 to /30, used by nothing else.
	// The first is the host's own, as the dynos see it.
	Network netip.Prefix
	// Denied are services elsewhere that no dyno may reach unless its egress list has them,
	// by TCP, beside the host, its gateways and metadata services.
	Denied []netip.AddrPort
	// Runtime is "crun" (default) or "runc".
	Runtime string
	// Stack is the root file system: "host" (default) for the host's own
	// system directories, a directory, or a squashfs image.
	Stack string
	// Binary is the hoist program that containers have as hoist-compile and
	// hoist-static in /usr/local/bin; "" for none.
	Binary string
	// Spares is how many containers are kept prepared, of the kind that was started last and
	// without grants or anybody attached: those start in a third of the time.
	Spares int
	Log    *slog.Logger
}

// Engine runs containers; see the package's documentation.
type Engine struct {
	log      *slog.Logger
	dir      string
	mnt      string // a tmpfs of our own, for mount points
	locks    []*os.File
	mounted  bool
	root     string // the stack
	runtime  *ociRuntime
	cgroups  *cgroups
	network  *network
	firewall *firewall
	claimed  io.Closer // see claim
	slugs    slugMounts
	spares   *spares

	templates sync.Mutex
	seccomp   atomic.Pointer[[]byte]
	closed    atomic.Bool
	noIdmap   atomic.Bool // slugs are copied, see copySlug
	noLayers  atomic.Bool // for each container
	copyDisk  int64       // see there

	mu         sync.Mutex
	containers map[hoist.ID]*container
}

var _ hoist.Engine = (*Engine)(nil)

var (
	errClosed   = errors.New("oci: the engine is closed")
	namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

// New makes an Engine and takes over the containers that an earlier one with
// the same name and directory left; what that one had only half made is removed.
// There can be one at a time. The process must have called Isolate.
func New(cfg Config) (_ *Engine, err error) {
	cfg.Name = cmp.Or(cfg.Name, "hoist")
	if !namePattern.MatchString(cfg.Name) {
		return nil, fmt.Errorf("oci: name %q: want lower-case letters, digits and -, 32 at most", cfg.Name)
	}
	if !isolated() {
		return nil, errors.New("oci: call oci.Isolate at the beginning of main")
	}
	if err := checkKernel(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil || cfg.Dir == "" {
		return nil, errors.New("oci: the engine needs a directory")
	}
	ifaces := InterfacePrefix(cfg.Name)
	e := &Engine{
		log:        cmp.Or(cfg.Log, slog.Default()),
		dir:        dir,
		mnt:        "/run/hoist-" + cfg.Name,
		containers: map[hoist.ID]*container{},
		copyDisk:   copyDisk,
	}
	e.spares = newSpares(e, cfg.Spares)
	e.slugs = slugMounts{dir: filepath.Join(e.mnt, "slugs"), byPath: map[string]*slugMount{}}
	if e.network, err = newNetwork(cfg.Network, ifaces); err != nil {
		return nil, err
	}
	if e.runtime, err = newRuntime(cmp.Or(cfg.Runtime, "crun"), filepath.Join(dir, "run")); err != nil {
		return nil, err
	}
	if e.cgroups, err = newCgroups(cfg.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		if e.mounted { // nobody else has this name; what is in use stays
			unix.Unmount(e.mnt, unix.MNT_DETACH)
			e.mounted = false
			unix.Rmdir(e.cgroups.dir("cpu", ""))
			os.Remove(e.mnt)
			os.Remove(e.nameLock())
		}
		e.Close()
	}()
	if err := e.open(); err != nil {
		return nil, err
	}
	if err := e.claim(cfg.Name); err != nil {
		return nil, err
	}
	if err := e.cgroups.weigh(); err != nil {
		e.log.Warn("a busy host may starve the dynos", "err", err)
	}
	if e.root, err = e.makeStack(cmp.Or(cfg.Stack, "host"), cfg.Binary); err != nil {
		return nil, err
	}
	near, err := gateways()
	if err != nil {
		return nil, err
	}
	_, dns := hostResolver()
	if len(dns) == 0 {
		e.log.Warn("dynos cannot look up names: no resolv.conf of this machine names a server at an IPv4 address that is not its own; it is read again for each dyno")
	}
	e.firewall = newFirewall(cfg.Name, ifaces, e.network.prefix, near, cfg.Denied, dns)
	if err := e.recover(); err != nil {
		return nil, err
	}
	if err := e.forward(); err != nil {
		return nil, err
	}
	e.spares.begin()
	return e, nil
}

// InterfacePrefix is how the names of the host's interfaces to an engine's
// containers begin.
func InterfacePrefix(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "h" + hex.EncodeToString(sum[:3]) + "-"
}

func newRuntime(name, root string) (*ociRuntime, error) {
	if name != "crun" && name != "runc" {
		return nil, fmt.Errorf("oci: runtime %q: want crun or runc", name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("oci: %w; install the package %s", err, name)
	}
	// More at a time than there are processors only makes each slower.
	slots := make(chan struct{}, max(4, 2*runtime.NumCPU()))
	later := time.AfterFunc(time.Second, func() { reapHelpers(name) })
	return &ociRuntime{name: name, path: path, root: root, slot: slots, later: later}, nil
}

// open takes the lock and mounts the engine's tmpfs. Its path is short and open to
// everybody, as user namespaces need it of mount sources, wherever Dir is.
func (e *Engine) open() error {
	// Containers whose runtime has exited become our children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("oci: become subreaper: %w", err)
	}
	for _, dir := range []string{e.containerDir(""), e.runtime.root} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("oci: %w", err)
		}
	}
	if err := os.MkdirAll(e.mnt, 0o755); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	for _, path := range []string{filepath.Join(e.dir, "lock"), e.nameLock()} {
		if err := e.takeLock(path); err != nil {
			return err
		}
	}
	// An earlier engine in this mount namespace that was killed left its own.
	for unix.Unmount(e.mnt, unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("hoist", e.mnt, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("oci: mount %s: %w", e.mnt, err)
	}
	e.mounted = true
	return nil
}

// takeLock makes sure that no other engine has the same directory or name.
func (e *Engine) takeLock(path string) error {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("oci: another process has the engine in %s or of the same name (%s is locked)", e.dir, path)
	}
	e.locks = append(e.locks, lock)
	return nil
}

func (e *Engine) nameLock() string { return e.mnt + ".lock" }

func (e *Engine) containerDir(id hoist.ID) string { return filepath.Join(e.dir, "containers", id) }

// Close lets go of the containers, which run on, for a later Engine.
func (e *Engine) Close() error {
	e.spares.close()
	if e.closed.Swap(true) {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		c.mu.Lock()
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
		if c.process != nil {
			c.process.file.Close()
		}
		if c.out != nil {
			c.out.close()
		}
		if c.stream != nil {
			c.stream.shut()
		}
	}
	if e.mounted {
		unix.Unmount(e.mnt, unix.MNT_DETACH)
	}
	if e.claimed != nil {
		e.claimed.Close()
	}
	for _, lock := range e.locks {
		lock.Close()
	}
	return nil
}

// container returns a container that has been started.
func (e *Engine) container(id hoist.ID) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil && c.started() {
		return c, nil
	}
	return nil, hoist.NotFound("container")
}

func (c *container) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Pid != 0
}

// List returns the containers there are, running or ended.
func (e *Engine) List(context.Context) ([]hoist.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []hoist.Container
	for _, c := range e.containers {
		if c.started() {
			list = append(list, hoist.Container{
				ID: c.ID, Labels: c.Labels, IP: c.IP, Pid: c.Pid, StartedAt: c.StartedAt, Running: !c.ended(),
			})
		}
	}
	return list, nil
}

// Watch hands on the container's lines, one at a time, until it ends. A line
// ends at a newline or after hoist.LogLineLimit bytes.
func (e *Engine) Watch(ctx context.Context, id hoist.ID, out hoist.Output) (hoist.Exit, error) {
	c, err := e.container(id)
	if err != nil {
		return hoist.Exit{}, err
	}
	if c.out != nil {
		if out == nil {
			out = nowhere{}
		}
		if err := c.out.lines(ctx, out); err != nil {
			return hoist.Exit{}, err
		}
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return hoist.Exit{}, ctx.Err()
	}
	c.waitDrained(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.Exit, nil
}

// Remove kills the container if it runs and frees all it had, or what is left of a failed start.
// What does not exist is removed.
func (e *Engine) Remove(ctx context.Context, id hoist.ID) error {
	e.mu.Lock()
	c := e.containers[id]
	e.mu.Unlock()
	if c == nil || !c.removable() {
		return nil
	}
	c.removing.Lock()
	defer c.removing.Unlock()
	return e.free(ctx, c)
}

// removable reports whether nobody is starting the container any more.
func (c *container) removable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Pid != 0 || c.failed
}
