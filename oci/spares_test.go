package oci_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

func withSpares(n int) func(*oci.Config) { return func(c *oci.Config) { c.Spares = n } }

// ready waits until an engine has n spare containers.
func ready(t testing.TB, cfg oci.Config, n int) {
	t.Helper()
	var names []string
	eventually(t, func() bool {
		names, _ = filepath.Glob(filepath.Join(cfg.Dir, "spares/*"))
		return len(names) == n && len(links(t, cfg.Name)) >= n
	}, func() string { return fmt.Sprintf("spares: %v", names) })
	time.Sleep(50 * time.Millisecond) // the last one's last step
}

func TestADynoIsTheSameWhetherItWasPreparedOrNot(t *testing.T) {
	var cfg oci.Config
	e := newEngine(t, withSpares(1), func(c *oci.Config) { cfg = *c })
	image := slug(t, map[string]string{"hello": "world", ".profile.d/a.sh": `export PROFILE="$MULTI"`})
	probe := func() (string, string) {
		s := spec(`
			hostname; cat hello /etc/hosts; id; pwd; env -0 | sort -z | tr '\0' '\n'; stat -c '%A %U %G %n' / /* /app/* /tmp; ls /proc/self/fd
			cat /proc/1/uid_map | wc -l; ulimit -a; grep -E 'Cap|Sec|NoNew' /proc/self/status; df -m --output=size /app
			echo; grep -h . /proc/net/route /proc/net/if_inet6 | wc -l; touch /app/x; cut -d' ' -f5,6 /proc/self/mountinfo`)
		s.Name, s.SlugPath = "worker.7", image
		s.Env = map[string]string{"PORT": "5000", "MULTI": "a'b\"\n $(c) \\", "odd.name": "it's odd", "UID": "7", "EMPTY": "", "é": "ü\x01\x7f"}
		out, exit := run(t, e, s)
		if exit.Code != 0 {
			t.Errorf("got %+v", exit)
		}
		address := ""
		var same []string
		for line := range strings.Lines(out) {
			if ip, ok := strings.CutSuffix(line, " worker.7\n"); ok {
				address = ip
			} else {
				same = append(same, line)
			}
		}
		return strings.Join(same, ""), address
	}
	fresh, first := probe()
	ready(t, cfg, 1)
	spare, second := probe()
	if fresh != spare || first == second || first == "" {
		t.Errorf("at %s:\n%s\nbut prepared, at %s:\n%s", first, fresh, second, spare)
	}
	for _, want := range []string{"worker.7\n", "MULTI=a'b\"\n $(c) \\\n", "PROFILE=a'b\"\n $(c) \\\n", "odd.name=it's odd\n", "EMPTY=\n", "é=ü\x01\x7f\n", "world"} {
		if !strings.Contains(fresh, want) {
			t.Errorf("no %q in %s", want, fresh)
		}
	}
	if strings.Contains(fresh, "OLDPWD") {
		t.Errorf("OLDPWD in %s", fresh)
	}
}

func TestAPreparedDynoHasItsLimits(t *testing.T) {
	var cfg oci.Config
	e := newEngine(t, withSpares(2), func(c *oci.Config) { cfg = *c })
	run(t, e, spec("true"))
	ready(t, cfg, 2)
	hungry := spec(`exec perl -e '$x = "x" x (1 << 30); sleep 100'`)
	hungry.Size.Memory = 32 << 20
	if _, exit := run(t, e, hungry); !exit.OOM {
		t.Errorf("memory: %+v", exit)
	}
	bomb := spec("for i in $(seq 100); do sleep 1 & done 2>&1; echo made")
	bomb.Size.Pids = 20
	if out, _ := run(t, e, bomb); !strings.Contains(out, "fork") {
		t.Errorf("pids: %s", out)
	}
}

func TestSparesGoWithTheirEngine(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	cfg.Spares = 2
	e := adopt(t, cfg)
	run(t, e, spec("true"))
	ready(t, cfg, 2)
	if slices.Equal(traces(t), before) {
		t.Fatal("the test does not see what it looks for")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if left := links(t, cfg.Name); len(left) > 0 {
		eventually(t, func() bool { return len(links(t, cfg.Name)) == 0 }, func() string { return fmt.Sprint(left) })
	}
	same(t, before)
	adopt(t, cfg) // only one that is open takes away what it has in /run
}

func TestSparesOfAKilledEngineAreSweptUp(t *testing.T) {
	before := traces(t)
	cfg := config(t)
	cfg.Spares = 2
	s := spec("echo up; while sleep 0.1; do [ ! -e /tmp/x ] || exit; done")
	wait := spec("sleep 2; echo now; sleep 100") // by then there are spares
	wait.Labels = map[string]string{"watch": "yes"}
	superviseAndKill(t, supervised{cfg, []hoist.ContainerSpec{s, wait}}, "line now")
	if left, _ := os.ReadDir(filepath.Join(cfg.Dir, "spares")); len(left) != 2 {
		t.Fatalf("spares: %v", left)
	}
	e := adopt(t, cfg)
	list, err := e.List(t.Context())
	if err != nil || len(list) != 2 || !list[0].Running || !list[1].Running {
		t.Fatalf("found %v, %v", list, err)
	}
	if left, _ := os.ReadDir(filepath.Join(cfg.Dir, "spares")); len(left) != 0 {
		t.Fatalf("spares: %v", left)
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}
