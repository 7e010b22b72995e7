package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sinceStart is what the seed has logged since it was started last.
func (w *selfWorld) sinceStart() string {
	text, _ := os.ReadFile(filepath.Join(w.Dir, "seed.log"))
	_, last, _ := strings.Cut(string(text[max(0, bytes.LastIndex(text, []byte(" msg=seed "))):]), "\n")
	return last
}

// tellStart shows what the seed did since it was started last.
func (w *selfWorld) tellStart(t *testing.T) {
	for line := range strings.Lines(w.sinceStart()) {
		if !strings.Contains(line, " line=true") || strings.Contains(line, "app="+w.apps[0].Name) || strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// servesWithin is how long a slow machine may take to serve from cold. What is aimed at is 10 s.
const servesWithin = time.Minute

// powerOn starts the seed, and returns how long it took until all apps served,
// and until the seed said that all is ready.
func (w *selfWorld) powerOn() (serving, ready time.Duration, err error) {
	begun := time.Now()
	started := make(chan error, 1)
	go func() {
		err := w.start()
		ready = time.Since(begun).Round(10 * time.Millisecond)
		started <- err
	}()
	err = w.serve(w.apps, servesWithin)
	serving = time.Since(begun).Round(10 * time.Millisecond)
	return serving, ready, errors.Join(err, <-started)
}

// serve waits until apps answer.
func (w *selfWorld) serve(apps []*faultApp, limit time.Duration) (err error) {
	for _, a := range apps {
		err = errors.Join(err, eventually(limit, func() error {
			code, body, err := w.get(a.Name, "/")
			if err == nil && code != 200 {
				err = fmt.Errorf("%s answers %d %.100s", a.Name, code, body)
			}
			return err
		}))
	}
	return err
}

// powerCut ends all processes of the platform at once, at any moment. With
// reboot what the kernel would have forgotten is gone, too: networks, control groups,
// mounts, what is in /run and the page cache.
func (w *selfWorld) powerCut(reboot bool) error {
	cold := func() error {
		pids := w.everyProcess()
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(pids) > 0 {
			return fmt.Errorf("processes %v are still there", pids)
		}
		return nil
	}
	if err := eventually(time.Minute, cold); err != nil {
		return err
	}
	if !reboot {
		return nil
	}
	return w.forget()
}

// everyProcess are all processes of the platform: what is in its control groups, what was
// started for its data directory, and the children of these.
func (w *selfWorld) everyProcess() (pids []int) {
	for _, g := range w.selfCgroups() {
		pids = append(pids, readPids(filepath.Join(g, "cgroup.procs"))...)
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	below, dead := map[int][]int{}, map[int]bool{}
	for _, name := range stats {
		dir := filepath.Dir(name)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		text, _ := os.ReadFile(name)
		i := bytes.LastIndex(text, []byte(") "))
		if i < 0 {
			continue // ended meanwhile
		}
		if f := strings.Fields(string(text[i+2:])); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			below[parent], dead[pid] = append(below[parent], pid), f[0] == "Z"
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		works, _ := os.Readlink(filepath.Join(dir, "cwd")) // of what has begun since its parent died, as Postgres' processes
		if bytes.Contains(append([]byte{0}, environ...), []byte("\x00HOIST_DATA="+w.Dir+"\x00")) || bytes.Contains(line, []byte(w.Dir+"/postgres")) ||
			strings.HasPrefix(works, w.Dir+"/postgres/") {
			pids = append(pids, pid)
		}
	}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, below[pids[i]]...)
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	return slices.DeleteFunc(pids, func(pid int) bool { return dead[pid] || pid == os.Getpid() })
}

// forget removes what a machine that is switched on again does not have.
func (w *selfWorld) forget() error {
	var errs []error
	links, err := netlink.LinkList()
	errs = append(errs, err)
	tables, _ := exec.Command("nft", "list", "tables").Output()
	for name := range w.engines() {
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Name, oci.InterfacePrefix(name)) {
				netlink.LinkDel(l) // or gone already, with its namespace
			}
		}
		for line := range strings.Lines(string(tables)) {
			if f := strings.Fields(line); len(f) == 3 && f[2] == name {
				errs = append(errs, exec.Command("nft", "delete", "table", f[1], name).Run())
			}
		}
		errs = append(errs, os.RemoveAll("/run/"+name), os.RemoveAll("/run/"+name+".lock"))
	}
	tops, _ := filepath.Glob("/sys/fs/cgroup/*/hoist-" + w.engine() + "*")
	more, _ := filepath.Glob("/sys/fs/cgroup/hoist-" + w.engine() + "*")
	for _, top := range append(tops, more...) {
		errs = append(errs, eventually(30*time.Second, func() error { return removeGroups(top) }))
	}
	if lo, err := netlink.LinkByName("lo"); err == nil {
		settings, err := seed.Saved(w.Dir)
		errs = append(errs, err)
		netlink.AddrDel(lo, &netlink.Addr{IPNet: netlink.NewIPNet(settings.Gateway().AsSlice())})
		oci.ReleaseNetwork(settings.DynoNetwork())
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		if backing, _ := os.ReadFile(l); strings.HasPrefix(string(backing), w.Dir+"/") {
			exec.Command("losetup", "-d", "/dev/"+strings.Split(l, "/")[3]).Run()
		}
	}
	unix.Sync()
	filepath.WalkDir(w.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if f, err := os.Open(path); err == nil {
				unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
				f.Close()
			}
		}
		return nil
	})
	return errors.Join(errs...)
}

// removeGroups removes a control group and those in it.
func removeGroups(top string) error {
	var dirs []string
	filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	var errs []error
	for _, dir := range slices.Backward(dirs) {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
