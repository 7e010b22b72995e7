package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/oci"
	"github.com/vishvananda/netlink"
)

// invariants waits until the platform has come to rest, and fails if then
// something acknowledged is lost, something is doubled or something is left.
func (w *faultWorld) invariants(t *testing.T) {
	t.Helper()
	atRest(t, 75*time.Second, w.check)
}

// atRest waits until check finds nothing, and says what took long.
func atRest(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	begun := time.Now()
	var last error
	err := eventually(limit, func() error {
		err := check()
		if err != nil {
			last = err
		}
		return err
	})
	if err != nil {
		t.Fatalf("it does not come to rest:\n%v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Logf("at rest after %s; before that: %v", took.Round(100*time.Millisecond), last)
	}
}

func (w *faultWorld) check() error {
	return errors.Join(w.kept(), w.nothingDoubled(), w.noOrphans())
}

// kept checks each app: what was acknowledged is there, and it serves.
func (w *faultWorld) kept() error {
	var errs []error
	for _, a := range w.apps {
		errs = append(errs, a.acknowledged(), a.serving())
	}
	return errors.Join(errs...)
}

// acknowledged checks that all that was acknowledged is there, once.
func (a *faultApp) acknowledged() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var pushed []struct {
		Commit string
		Status string
	}
	err := a.w.query(&pushed, `SELECT s.commit, r.status FROM releases r JOIN apps a ON a.id = r.app_id JOIN slugs s ON s.id = r.slug_id
		WHERE a.name = $1 AND r.description LIKE 'Deploy %' ORDER BY r.version`, a.Name)
	if err != nil {
		return err
	}
	for _, commit := range a.commits {
		n := 0
		for _, r := range pushed {
			if r.Commit == commit {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s: commit %s was acknowledged and has %d releases", a.Name, commit, n)
		}
	}
	var heads []struct{ Head string }
	if err := a.w.query(&heads, `SELECT refs->>'refs/heads/main' AS head FROM repos JOIN apps a ON a.id = app_id WHERE a.name = $1`, a.Name); err != nil {
		return err
	}
	if len(a.commits) > 0 && (len(heads) != 1 || heads[0].Head != a.commits[len(a.commits)-1]) {
		return fmt.Errorf("%s: head is %v, acknowledged was %s", a.Name, heads, a.commits[len(a.commits)-1])
	}
	var vars map[string]string
	if err := a.w.call("GET", "/apps/"+a.Name+"/config-vars", a.w.Token, nil, &vars); err != nil {
		return err
	}
	if a.config != 0 && vars["N"] != fmt.Sprint(a.config) && vars["N"] != fmt.Sprint(a.changes) {
		return fmt.Errorf("%s: config N is %q, acknowledged was %d", a.Name, vars["N"], a.config)
	}
	return nil
}

// serving checks that the app answers with its newest source and config.
func (a *faultApp) serving() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.commits) == 0 {
		return nil
	}
	code, body, err := a.w.get(a.Name, "/")
	if err != nil {
		return err
	}
	var page struct{ Version, Config int }
	if err := json.Unmarshal([]byte(body), &page); err != nil || code != 200 {
		return fmt.Errorf("%s answers %d %.200s", a.Name, code, body)
	}
	if page.Version != a.version || page.Config != a.config && page.Config != a.changes {
		return fmt.Errorf("%s serves version %d with config %d, not %d with %d", a.Name, page.Version, page.Config, a.version, a.config)
	}
	return nil
}

// nothingDoubled checks the numbers of releases, dynos and builds.
func (w *faultWorld) nothingDoubled() error {
	for what, sql := range map[string]string{
		"releases are not numbered 1, 2, 3…": `SELECT a.name, count(*) AS n FROM releases r JOIN apps a ON a.id = r.app_id
			GROUP BY 1 HAVING count(*) <> max(version) OR min(version) <> 1`,
		// A build that was asked for over the API, as bootstrap does, may be of a commit that was pushed.
		"a push has several releases": `SELECT a.name, s.commit, count(*) FROM releases r JOIN apps a ON a.id = r.app_id JOIN slugs s ON s.id = r.slug_id
			WHERE r.description LIKE 'Deploy %' GROUP BY a.id, a.name, s.commit HAVING count(*) > greatest(1,
				(SELECT count(*) FILTER (WHERE b.push IS NULL) + least(1, count(b.push)) FROM builds b
				WHERE b.app_id = a.id AND b.source_version = s.commit AND b.release_id IS NOT NULL))`,
		"builds have not ended": `SELECT a.name, b.state FROM builds b JOIN apps a ON a.id = b.app_id WHERE finished_at IS NULL`,
		"the dynos are not those of the formation": `SELECT a.name, f.type, f.quantity,
				(SELECT count(*) FROM dynos d WHERE d.app_id = a.id AND d.type = f.type AND d.state <> 'down') AS there
			FROM formation f JOIN apps a ON a.id = f.app_id
			WHERE f.quantity <> (SELECT count(*) FROM dynos d WHERE d.app_id = a.id AND d.type = f.type AND d.kind = 'formation' AND d.state = 'up'
				AND d.want = 'up' AND d.release_id = a.current_release_id) AND NOT a.system`,
		"dynos are not up": `SELECT a.name, d.type, d.number, d.state, d.want, d.kind, d.reason FROM dynos d JOIN apps a ON a.id = d.app_id
			WHERE d.state NOT IN ('up', 'down')`,
		"one-off dynos go on": `SELECT a.name, d.type, d.number, d.state FROM dynos d JOIN apps a ON a.id = d.app_id
			WHERE d.state <> 'down' AND d.kind <> 'formation'`,
	} {
		var found []map[string]any
		if err := w.query(&found, sql); err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("%s: %v", what, found)
		}
	}
	return nil
}

// noOrphans compares what the engine has on the machine with the rows.
func (w *faultWorld) noOrphans() error {
	var rows []struct{ ID string }
	if err := w.query(&rows, `SELECT id FROM dynos WHERE state <> 'down'`); err != nil {
		return err
	}
	var wanted []string
	for _, r := range rows {
		wanted = append(wanted, r.ID)
	}
	slices.Sort(wanted)
	engine, cgroups := w.engineName(), w.cgroups()
	spares := directories(filepath.Join(w.Dir, "runtime/engine/spares"))
	names := slices.Clone(spares)
	for _, id := range wanted {
		names = append(names, w.containerName(id))
	}
	slices.Sort(names)
	for _, c := range []struct {
		what, dir string
		want      []string
	}{
		{"containers", filepath.Join(w.Dir, "runtime/engine/containers"), wanted},
		{"OCI runtime states", filepath.Join(w.Dir, "runtime/engine/run"), names},
		{"cgroups", cgroups, names},
	} {
		if there := directories(c.dir); !slices.Equal(there, c.want) {
			return fmt.Errorf("%s are %v, not %v", c.what, there, c.want)
		}
	}
	for _, id := range wanted {
		if len(w.cgroupPids(id)) == 0 {
			return fmt.Errorf("dyno %s is up and has no process", id)
		}
	}
	prefix := oci.InterfacePrefix(engine)
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	n, routed := 0, 0
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, prefix) {
			n++
			for _, r := range routes {
				if r.LinkIndex == l.Attrs().Index {
					routed++
				}
			}
		}
	}
	if n != len(names) || routed != len(names) {
		return fmt.Errorf("%d interfaces and %d routes for %d dynos and %d spare containers", n, routed, len(wanted), len(spares))
	}
	return w.loopDevices(wanted)
}

// directories are the names of the directories in one, sorted.
func directories(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// containerName is what the control group and the OCI runtime's state of a dyno are called.
func (w *faultWorld) containerName(id string) string {
	return startedAs(filepath.Join(w.Dir, "runtime/engine"), id)
}

// startedAs is the name of a container of an engine for the kernel and the OCI runtime.
func startedAs(engine, id string) string {
	var record struct{ Name string }
	data, err := os.ReadFile(filepath.Join(engine, "containers", id, "container.json"))
	if err != nil || json.Unmarshal(data, &record) != nil {
		return id
	}
	return record.Name
}

// loopDevices checks that each dyno has one disk, and that a loop device
// beyond these is one of a slug that a dyno uses.
func (w *faultWorld) loopDevices(dynos []string) error {
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
		id, _, ok := strings.Cut(strings.TrimPrefix(file, filepath.Join(w.Dir, "runtime/engine/containers")+"/"), "/")
		if ok && strings.Contains(file, "/containers/") && (!slices.Contains(dynos, id) || n > 1) {
			return fmt.Errorf("%d loop devices of %s", n, file)
		}
	}
	return nil
}

// cgroups is the directory of the containers' control groups.
func (w *faultWorld) cgroups() string {
	for _, dir := range []string{"/sys/fs/cgroup/pids/hoist-", "/sys/fs/cgroup/hoist-"} { // version 1, version 2
		if _, err := os.Stat(dir + w.engineName()); err == nil {
			return dir + w.engineName()
		}
	}
	return ""
}

// engineName is the name that the platform's containers have on the machine.
func (w *faultWorld) engineName() string {
	env, _ := w.hoist("seed", "env", "runtime")
	for line := range strings.Lines(env) {
		if name, ok := strings.CutPrefix(line, "HOIST_ENGINE="); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
