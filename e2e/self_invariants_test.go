package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/vishvananda/netlink"
)

// invariants waits until the platform has come to rest, and fails if then
// something acknowledged is lost, something is doubled or something is left.
func (w *selfWorld) invariants(t *testing.T) {
	t.Helper()
	atRest(t, 90*time.Second, w.checkSelf)
}

func (w *selfWorld) checkSelf() error {
	return errors.Join(w.kept(), w.hoistApp.acknowledged(), w.nothingDoubled(), w.settled(0), w.systemRows(), w.nothingLeft())
}

// systemRows compares the rows of the app hoist's dynos with its formation.
func (w *selfWorld) systemRows() error {
	var found []map[string]any
	err := w.query(&found, `SELECT f.type, f.quantity, (SELECT count(*) FROM dynos d WHERE d.app_id = a.id AND d.type = f.type AND d.state <> 'down') AS there
		FROM formation f JOIN apps a ON a.id = f.app_id
		WHERE a.system AND f.quantity <> (SELECT count(*) FROM dynos d WHERE d.app_id = a.id AND d.type = f.type AND d.kind = 'formation' AND d.state = 'up' AND d.want = 'up')`)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("the dynos of hoist are not those of its formation: %v", found)
	}
	return err
}

// engine is the name of the seed's own engine, with which the others' begin.
func (w *selfWorld) engine() string {
	settings := seed.Settings{DataDir: w.Dir}
	return settings.Name()
}

// engines are the names and directories of the platform's engines.
func (w *selfWorld) engines() map[string]string {
	name := w.engine()
	list := map[string]string{name: filepath.Join(w.Dir, "runtime/engine"), name + "-sys": filepath.Join(w.Dir, "system/engine")}
	slots, _ := filepath.Glob(filepath.Join(w.Dir, "runtime-*"))
	for _, dir := range slots {
		list[name+"-r"+strings.TrimPrefix(filepath.Base(dir), "runtime-")] = filepath.Join(dir, "engine")
	}
	return list
}

// nothingLeft compares what all engines have on the machine with the rows.
func (w *selfWorld) nothingLeft() error {
	var rows []struct {
		ID     string
		System bool
	}
	if err := w.query(&rows, `SELECT d.id, a.system AND d.kind = 'formation' AS system FROM dynos d JOIN apps a ON a.id = d.app_id WHERE d.state <> 'down'`); err != nil {
		return err
	}
	var people, all []string
	for _, r := range rows {
		if all = append(all, r.ID); !r.System {
			people = append(people, r.ID)
		}
	}
	slices.Sort(all)
	slices.Sort(people)
	var containers, states, names, prefixes []string
	spares := 0
	for name, dir := range w.engines() {
		prefixes = append(prefixes, oci.InterfacePrefix(name))
		waiting := directories(filepath.Join(dir, "spares"))
		there := directories(filepath.Join(dir, "containers"))
		spares, names = spares+len(waiting), append(names, waiting...)
		for _, id := range there {
			names = append(names, startedAs(dir, id))
		}
		containers = append(containers, there...)
		states = append(states, directories(filepath.Join(dir, "run"))...)
	}
	var grouped []string
	for _, g := range w.selfCgroups() {
		if name := filepath.Base(g); uuid.MatchString(name) {
			grouped = append(grouped, name)
			if procs, _ := os.ReadFile(filepath.Join(g, "cgroup.procs")); len(procs) == 0 {
				return fmt.Errorf("container %s has no process", name)
			}
		}
	}
	slices.Sort(names)
	for _, c := range []struct {
		what        string
		there, want []string
	}{{"containers", containers, all}, {"OCI runtime states", states, names}, {"cgroups", grouped, names}} {
		if slices.Sort(c.there); !slices.Equal(c.there, c.want) {
			return fmt.Errorf("%s are %v, not %v", c.what, c.there, c.want)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	n := 0
	for _, l := range links {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(l.Attrs().Name, p) }) {
			n++
		}
	}
	if n != len(people)+spares {
		return fmt.Errorf("%d interfaces for %d dynos and %d spare containers", n, len(people), spares)
	}
	return w.loopsOf(all)
}

// uuid is in the names of containers.
var uuid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// selfCgroups are all control groups of the platform's containers in one
// hierarchy, those within others too, the innermost last.
func (w *selfWorld) selfCgroups() (dirs []string) {
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "pids")); err == nil { // version 1
		root = filepath.Join(root, "pids")
	}
	tops, _ := filepath.Glob(filepath.Join(root, "hoist-"+w.engine()+"*"))
	for _, top := range tops {
		filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // they go away while we look
		})
	}
	return dirs
}

// loopsOf checks that only dynos have disks, once each.
func (w *selfWorld) loopsOf(dynos []string) error {
	disks := map[string]int{}
	backings, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, b := range backings {
		text, err := os.ReadFile(b)
		file := strings.TrimSpace(string(text))
		if err != nil || !strings.HasPrefix(file, w.Dir+"/") {
			continue
		}
		if strings.HasSuffix(file, "(deleted)") {
			return fmt.Errorf("a loop device of a file that is gone: %s", file)
		}
		disks[file]++
	}
	for file, n := range disks {
		_, rest, ok := strings.Cut(file, "/engine/containers/")
		id, _, _ := strings.Cut(rest, "/")
		if ok && (!slices.Contains(dynos, id) || n > 1) {
			return fmt.Errorf("%d loop devices of %s", n, file)
		}
	}
	return nil
}

// systemDyno is the first process of the only dyno of a component.
func (w *selfWorld) systemDyno(component string) (pid int, err error) {
	st, err := w.status()
	if err != nil {
		return 0, err
	}
	if st.System == nil {
		return 0, errors.New("no system app")
	}
	for _, d := range st.System.Dynos {
		if typ, _, _ := strings.Cut(d.Name, "."); typ == component && d.State == string(hoist.DynoUp) {
			return d.PID, nil
		}
	}
	return 0, fmt.Errorf("no dyno of %s is up: %s", component, showDynos(st.System))
}
