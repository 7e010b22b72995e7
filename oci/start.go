package oci

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/hoist-sh/hoist"
)

const diskFile = "disk.ext4"

var idPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`)

// Start runs a container. When it fails, nothing is left of it, or what Remove removes.
func (e *Engine) Start(ctx context.Context, spec hoist.ContainerSpec) error {
	if !idPattern.MatchString(spec.ID) {
		return hoist.Invalid("%q is not a container's ID.", spec.ID)
	}
	if spec.TTY && !spec.Attach {
		return hoist.Invalid("A terminal needs somebody attached.")
	}
	if err := checkGrants(spec.Grants); err != nil {
		return err
	}
	c, err := e.reserve(spec)
	if err != nil {
		return err
	}
	if c.process == nil {
		err = e.prepare(ctx, c, spec)
	}
	if err == nil {
		err = e.admit(ctx, c, spec)
	}
	e.spares.started()
	if err != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), freeLimit)
		defer cancel()
		if freeErr := e.free(limited, c); freeErr != nil {
			e.log.Error("left over from a failed start", "container", c.ID, "err", freeErr)
			c.mu.Lock()
			c.failed = true
			c.mu.Unlock()
		}
		return err
	}
	return nil
}

// reserve makes the container known: a spare one, or one that is still to be prepared.
func (e *Engine) reserve(spec hoist.ContainerSpec) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return nil, errClosed
	}
	if e.containers[spec.ID] != nil {
		return nil, fmt.Errorf("oci: container %s: %w", spec.ID, os.ErrExist)
	}
	var c *container
	again := e.network.takeAgain(spec.IP)
	if !again { // a spare one has another address already
		c = e.spares.take(spec)
	}
	if c == nil {
		c = &container{name: spec.ID, dir: e.containerDir(spec.ID), disk: spec.Size.Disk, done: make(chan struct{})}
		switch {
		case again:
			c.IP = spec.IP
		case spec.Grants == nil || !spec.Grants.HostNetwork:
			var err error
			if c.IP, err = e.network.take(netip.Addr{}); err != nil {
				return nil, err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = record{
		ID: spec.ID, Name: c.name, Labels: spec.Labels, IP: c.IP, Egress: spec.Egress,
		Attach: spec.Attach, Deadline: spec.Deadline, Granted: spec.Grants != nil,
	}
	e.containers[spec.ID] = c
	return c, nil
}

// prepare makes the container as far as it does not matter what runs in it: its process
// waits at the gate, in all its namespaces and with its network. Of the
// specification it takes the grants, the standard streams and the disk's size.
func (e *Engine) prepare(ctx context.Context, c *container, spec hoist.ContainerSpec) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	base := idsOf(c, spec)
	var err error
	if c.layers, err = e.mountDisk(c, base); err != nil {
		return err
	}
	if err := c.layers.bindGrants(spec.Grants); err != nil {
		return err
	}
	if err := e.writeNames(c.layers.dir, spec, c.IP); err != nil {
		return err
	}
	config, err := json.Marshal(e.ociSpec(spec, c, base))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.json"), config, 0o600); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if c.gate, err = newGate(); err != nil {
		return err
	}
	done, err := e.run(ctx, c, spec, append(grantedFiles(spec.Grants), c.gate.theirs, c.gate.letter))
	if err != nil {
		return err
	}
	c.gate.theirs.Close()
	refused := e.connect(ctx, c)
	if refused != nil {
		c.gate.close()
	}
	pid, err := done()
	if err != nil {
		return err
	}
	if c.process, err = openProcess(pid, 0); err != nil {
		return err
	}
	go e.supervise(c)
	e.keepSeccomp(c.name)
	return refused
}

// connect waits for the process at the gate and gives it its network.
func (e *Engine) connect(ctx context.Context, c *container) error {
	pid, err := c.gate.arrival(ctx)
	if err != nil || !c.IP.IsValid() {
		return err
	}
	return e.network.connect(pid, c.IP)
}

// admit gives a prepared container what makes it this one (the slug, names,
// limits, what it may reach) and lets its process begin the command.
func (e *Engine) admit(ctx context.Context, c *container, spec hoist.ContainerSpec) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if dir := e.containerDir(c.ID); c.dir != dir {
		if err := os.Rename(c.dir, dir); err != nil {
			return fmt.Errorf("oci: %w", err)
		}
		c.dir = dir
	}
	defer c.layers.close() // by then the container has them itself
	if err := e.mountApp(ctx, c, spec); err != nil {
		return err
	}
	if err := c.settle(cmp.Or(spec.Name, spec.ID)); err != nil {
		return err
	}
	if err := e.writeNames(c.layers.dir, spec, c.IP); err != nil {
		return err
	}
	if spec.Grants == nil || !spec.Grants.Privileged {
		if err := e.cgroups.limit(c.name, spec.Size); err != nil {
			return err
		}
	}
	if err := e.firewall.allow(c.IP, c.Egress); err != nil {
		return err
	}
	began := time.Now()
	if err := c.gate.open(letter(spec)); err != nil {
		return err
	}
	c.gate.close()
	c.mu.Lock()
	c.StartedAt, c.Pid, c.PidStart = began, c.process.pid, c.process.start
	err := c.save()
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	c.watchDeadline()
	return nil
}

// run makes the standard streams and has the runtime start the container.
func (e *Engine) run(ctx context.Context, c *container, spec hoist.ContainerSpec, files []*os.File) (done func() (int, error), err error) {
	uid := int(idsOf(c, spec)) + dynoUID
	switch {
	case spec.TTY:
		console, err := newConsole(c.layers.dir)
		if err != nil {
			return nil, err
		}
		made, err := e.runtime.start(ctx, c.name, c.dir, console.path, stdio{}, files)
		if err != nil {
			console.close()
			return nil, err
		}
		return func() (int, error) {
			defer console.close()
			pid, err := made()
			if err != nil {
				return 0, err
			}
			master, err := console.receive()
			if err != nil {
				return 0, err
			}
			c.stream = newStream(master, master, func() { e.hangUp(c) })
			return pid, nil
		}, nil
	case spec.Attach:
		in, out, std, err := makePipes(uid)
		if err != nil {
			return nil, fmt.Errorf("oci: make pipes: %w", err)
		}
		defer std[0].Close()
		defer std[1].Close()
		c.stream = newStream(in, out, func() { e.hangUp(c) })
		return e.runtime.start(ctx, c.name, c.dir, "", std, files)
	default:
		out, pipe, err := makeOutput(c.dir, uid)
		if err != nil {
			return nil, err
		}
		defer pipe.Close()
		c.out = out
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		return e.runtime.start(ctx, c.name, c.dir, "", stdio{null, pipe, pipe}, files)
	}
}

// writeNames writes the files that are a container's own in /etc.
func (e *Engine) writeNames(dir string, spec hoist.ContainerSpec, ip netip.Addr) error {
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", ip, spec.Name)
	resolv, servers := hostResolver()
	return errors.Join(
		e.firewall.allowServers(servers),
		os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts), 0o644),
		os.WriteFile(filepath.Join(dir, "resolv.conf"), resolv, 0o644))
}
