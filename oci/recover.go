package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// recover finds the containers of an earlier engine. What has no record is
// half made, half removed or was spare, and goes.
func (e *Engine) recover() error {
	egress := map[netip.Addr][]netip.AddrPort{}
	names := map[string]bool{}
	var half []*container
	for _, id := range entries(e.containerDir("")) {
		dir := e.containerDir(id)
		r, err := loadRecord(dir)
		if err != nil || r.ID != id {
			continue
		}
		c, err := e.adopt(dir, r)
		if errors.Is(err, fs.ErrNotExist) {
			if st, err := readStat(r.Pid); err == nil && st.start == r.PidStart {
				unix.Wait4(r.Pid, nil, unix.WNOHANG, nil) // if it became our child
			}
			continue
		} else if err != nil {
			return err
		}
		e.containers[id], names[c.name] = c, true
		if c.IP.IsValid() {
			egress[c.IP] = c.Egress
		}
	}
	for _, dir := range []string{e.containerDir(""), e.spares.dir, e.runtime.root} {
		for _, name := range entries(dir) {
			if e.containers[name] == nil && !names[name] {
				names[name] = true
				half = append(half, &container{name: name, dir: filepath.Join(dir, name), done: make(chan struct{})})
			}
		}
	}
	for _, name := range e.cgroups.list() {
		if !names[name] {
			half = append(half, &container{name: name, dir: e.containerDir(name), done: make(chan struct{})})
		}
	}
	if err := e.firewall.install(egress); err != nil {
		return err
	}
	var all errgroup.Group
	for _, c := range half {
		e.log.Info("removing what is left of a container", "container", c.name)
		all.Go(func() error { return e.free(context.Background(), c) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return e.network.removeLinks()
}

// entries returns the names in a directory that can be those of containers.
func entries(dir string) (names []string) {
	all, _ := os.ReadDir(dir)
	for _, entry := range all {
		if idPattern.MatchString(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// forward has the kernel forward packets, and remembers if it did not before.
func (e *Engine) forward() error {
	data, err := os.ReadFile(ipForward)
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if strings.TrimSpace(string(data)) == "1" {
		return nil
	}
	if err := os.WriteFile(e.forwardFile(), nil, 0o600); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := os.WriteFile(ipForward, []byte("1"), 0); err != nil {
		return fmt.Errorf("oci: switch on %s: %w", ipForward, err)
	}
	return nil
}

const ipForward = "/proc/sys/net/ipv4/ip_forward"

func (e *Engine) forwardFile() string { return filepath.Join(e.dir, "ip_forward_was_off") }

// Teardown removes the containers and everything else of this engine's but its
// directory, and closes it. Forwarding is switched off again if New switched
// it on and no other engine is there.
func (e *Engine) Teardown(ctx context.Context) error {
	e.spares.close()
	e.mu.Lock()
	var all []*container
	for _, c := range e.containers {
		all = append(all, c)
	}
	e.mu.Unlock()
	var errs []error
	for _, c := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, e.Remove(ctx, c.ID))
	}
	errs = append(errs, e.network.removeLinks(), e.cgroups.remove(""), e.firewall.remove())
	if _, err := os.Stat(e.forwardFile()); err == nil {
		others, err := otherTables()
		if err == nil && !others {
			err = os.WriteFile(ipForward, []byte("0"), 0)
		}
		errs = append(errs, err, os.Remove(e.forwardFile()))
	}
	if e.closed.Load() { // torn down before
		return errors.Join(errs...)
	}
	unix.Unmount(e.mnt, unix.MNT_DETACH)
	e.mounted = false
	errs = append(errs, os.Remove(e.mnt), os.Remove(e.nameLock()), e.Close())
	return errors.Join(errs...)
}
