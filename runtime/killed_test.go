package runtime_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

const (
	manyDynos = 50
	server    = `exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 9, ReuseAddr => 1) or die; while ($c = $s->accept) { print $c "here\n"; close $c }'`
)

// TestManyDynosServeAgainAfterTheirRuntimeWasKilled measures how long that takes in both of its
// forms: a runtime that was a process of the host leaves its dynos running, one
// that was a dyno itself takes them along.
func TestManyDynosServeAgainAfterTheirRuntimeWasKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	p := newPlatform(t)
	dir := p.containers(t)
	kill := p.process(t, dir)
	a := p.app(t)
	a.deployImage(image(t), map[string]string{"web": server})
	begin := time.Now()
	a.scale("web", manyDynos)
	a.eventually("all up", func() bool { return len(a.serving()) == manyDynos })
	t.Logf("%d dynos serve %.2f s after they were asked for", manyDynos, time.Since(begin).Seconds())
	before := a.serving()

	kill()
	if n := len(a.serving()); n != manyDynos {
		t.Errorf("while the runtime is away %d dynos serve", n)
	}
	begin = time.Now()
	kill = p.process(t, dir)
	a.eventually("the runtime is back", func() bool {
		var back bool
		p.db.Pool.QueryRow(t.Context(), `SELECT seen_at > $1 FROM workers`, begin).Scan(&back)
		return back
	})
	t.Logf("the runtime has them again after %.2f s", time.Since(begin).Seconds())
	if after := a.serving(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("served %v, now %v", before, after)
	}

	kill()
	killContainers(a)
	begin = time.Now()
	p.process(t, dir)
	a.eventually("all serve again", func() bool { return len(a.serving()) == manyDynos })
	took := time.Since(begin)
	t.Logf("%d dynos that had ended with it serve again after %.2f s", manyDynos, took.Seconds())
	if took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// serving returns the addresses of the app's dynos that answer.
func (a *app) serving() map[string]bool {
	a.t.Helper()
	rows, err := a.p.db.Pool.Query(a.t.Context(), `SELECT address FROM dynos WHERE app_id = $1 AND state = 'up' AND address <> ''`, a.id)
	if err != nil {
		a.t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]bool{}
	for rows.Next() {
		var address string
		if err := rows.Scan(&address); err != nil {
			a.t.Fatal(err)
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			all[address] = true
			conn.Close()
		}
	}
	return all
}

// killContainers ends all containers, and waits until nobody could tell how.
func killContainers(a *app) {
	a.t.Helper()
	pids := containerPids(a.t)
	for _, pid := range pids {
		if process, err := os.FindProcess(pid); err == nil {
			process.Kill()
		}
	}
	a.eventually("the processes are reaped", func() bool {
		for _, pid := range pids {
			unix.Wait4(pid, nil, unix.WNOHANG, nil) // an engine in this process makes it the parent of orphans
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				return false
			}
		}
		return true
	})
}

// containerPids are the processes in this test's containers.
func containerPids(t *testing.T) (pids []int) {
	t.Helper()
	name := ociConfig("", os.Getpid()).Name
	for _, pattern := range []string{"/sys/fs/cgroup/pids/hoist-", "/sys/fs/cgroup/hoist-"} {
		groups, _ := filepath.Glob(pattern + name + "/*/cgroup.procs")
		for _, group := range groups {
			text, _ := os.ReadFile(group)
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					pids = append(pids, pid)
				}
			}
		}
		if len(pids) > 0 {
			return pids
		}
	}
	return nil
}

// What ended while nobody watched has an exit code all the same, and a reason.
func TestADynoThatEndedUnwatchedCountsAsKilled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	p := newPlatform(t)
	dir := p.containers(t)
	kill := p.process(t, dir)
	a := p.app(t)
	a.deployImage(image(t), nil)
	id, _ := a.oneOff(hoist.Dyno{Command: "sleep 1000; exit 3"})
	a.eventually("it runs", func() bool { return a.live() == "run.1 up" })
	kill()
	killContainers(a)
	p.process(t, dir)
	a.eventually("its end is known", func() bool { return a.live() == "" })
	var code int
	var reason string
	if err := p.db.Pool.QueryRow(t.Context(), `SELECT exit_code, reason FROM dynos WHERE id = $1`, id).Scan(&code, &reason); err != nil {
		t.Fatal(err)
	}
	if code != hoist.ExitUnknown || reason != hoist.ReasonExitUnknown {
		t.Errorf("exit code %d, %q", code, reason)
	}
}
