package oci

import (
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

// Start runs a container. When it fails, nothing is left of it.
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
	if err := e.start(ctx, c, spec); err != nil {
		if freeErr := e.free(c); freeErr != nil {
			e.log.Error("left over from a failed start", "container", c.ID, "err", freeErr)
		}
		return err
	}
	return nil
}

// reserve makes the container known, with an address.
func (e *Engine) reserve(spec hoist.ContainerSpec) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return nil, errClosed
	}
	if e.containers[spec.ID] != nil {
		return nil, fmt.Errorf("oci: container %s: %w", spec.ID, os.ErrExist)
	}
	var ip netip.Addr
	if spec.Grants == nil || !spec.Grants.HostNetwork {
		var err error
		if ip, err = e.network.take(netip.Addr{}); err != nil {
			return nil, err
		}
	}
	c := &container{
		dir:  e.containerDir(spec.ID),
		done: make(chan struct{}),
		record: record{
			ID: spec.ID, Labels: spec.Labels, IP: ip, Egress: spec.Egress,
			Attach: spec.Attach, Deadline: spec.Deadline, Granted: spec.Grants != nil,
		},
	}
	e.containers[spec.ID] = c
	return c, nil
}

func (e *Engine) start(ctx context.Context, c *container, spec hoist.ContainerSpec) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	base := idsOf(c, spec)
	l, err := e.mountContainer(c, spec, base)
	if err != nil {
		return err
	}
	defer l.close() // by then the container has them itself
	if err := l.bindGrants(spec.Grants); err != nil {
		return err
	}
	if err := e.writeNames(l.dir, spec, c.IP); err != nil {
		return err
	}
	config, err := json.Marshal(e.ociSpec(spec, base, l))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.json"), config, 0o600); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	g, err := newGate()
	if err != nil {
		return err
	}
	defer g.close()
	done, err := e.run(ctx, c, spec, l, append(grantedFiles(spec.Grants), g.theirs))
	if err != nil {
		return err
	}
	g.theirs.Close()
	refused := e.admit(ctx, c, g)
	if refused != nil {
		g.close()
	}
	pid, err := done()
	if err != nil {
		return err
	}
	if c.process, err = openProcess(pid, 0); err != nil {
		return err
	}
	go e.supervise(c)
	if refused != nil {
		return refused
	}
	e.keepSeccomp(c.ID)
	c.mu.Lock()
	c.Pid, c.PidStart = pid, c.process.start
	err = c.save()
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	c.watchDeadline()
	return nil
}

// admit connects the process at the gate to the network and lets it go on.
func (e *Engine) admit(ctx context.Context, c *container, g *gate) error {
	pid, err := g.arrival(ctx)
	if err != nil {
		return err
	}
	if c.IP.IsValid() {
		if err := e.network.connect(pid, c.IP); err != nil {
			return err
		}
		if err := e.firewall.allow(c.IP, c.Egress); err != nil {
			return err
		}
	}
	c.StartedAt = time.Now()
	return g.open()
}

// run makes the standard streams and has the runtime start the container.
func (e *Engine) run(ctx context.Context, c *container, spec hoist.ContainerSpec, l *layers, files []*os.File) (done func() (int, error), err error) {
	uid := int(idsOf(c, spec)) + dynoUID
	switch {
	case spec.TTY:
		console, err := newConsole(l.dir)
		if err != nil {
			return nil, err
		}
		made, err := e.runtime.start(ctx, c.ID, c.dir, console.path, stdio{}, files)
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
		return e.runtime.start(ctx, c.ID, c.dir, "", std, files)
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
		return e.runtime.start(ctx, c.ID, c.dir, "", stdio{null, pipe, pipe}, files)
	}
}

// writeNames writes the files that are a container's own in /etc.
func (e *Engine) writeNames(dir string, spec hoist.ContainerSpec, ip netip.Addr) error {
	if !ip.IsValid() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", ip, spec.Name)
	resolv, _ := hostResolver()
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts), 0o644),
		os.WriteFile(filepath.Join(dir, "resolv.conf"), resolv, 0o644))
}
