package oci_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/oci"
)

func TestOutputAndExitCode(t *testing.T) {
	e := newEngine(t)
	out, exit := run(t, e, spec("echo hello; echo world >&2; exit 7"))
	if out != "hello\nworld\n" || exit.Code != 7 || exit.OOM || exit.DiskFull || exit.PidsFull || exit.TimedOut {
		t.Fatalf("got %q, %+v", out, exit)
	}
}

func TestLongAndTornLinesAreHandedOn(t *testing.T) {
	e := newEngine(t)
	s := start(t, e, spec(`head -c 25000 /dev/zero | tr '\0' x; echo; printf 'crlf\r\n\nend'`))
	var got []int
	if _, err := e.Watch(t.Context(), s.ID, each(func(line []byte) { got = append(got, len(line)) })); err != nil {
		t.Fatal(err)
	}
	if want := "[10000 10000 5000 4 0 3]"; fmt.Sprint(got) != want {
		t.Fatalf("got lines of %v bytes, want %s", got, want)
	}
}

// A line is cut between characters, and its end is not taken for a line of its own,
// whenever it comes.
func TestALongLineIsCutAsPeopleWould(t *testing.T) {
	e := newEngine(t)
	s := start(t, e, spec(`perl -e '$| = 1; print "x", "ä" x 15000, "\n", "y" x 20000; sleep 1; print "\r\n\nend\n"'`))
	var got []string
	if _, err := e.Watch(t.Context(), s.ID, each(func(line []byte) { got = append(got, string(line)) })); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, line := range got {
		sizes = append(sizes, len(line))
		if !utf8.ValidString(line) {
			t.Errorf("%.10q…%q", line, line[len(line)-5:])
		}
	}
	if want := "[9999 10000 10000 2 10000 10000 0 3]"; fmt.Sprint(sizes) != want {
		t.Errorf("got lines of %v bytes, want %s", sizes, want)
	}
}

func TestMuchOutputIsComplete(t *testing.T) {
	e := newEngine(t)
	out, _ := run(t, e, spec("seq 200000"))
	if n := strings.Count(out, "\n"); n != 200000 || !strings.HasSuffix(out, "\n200000\n") {
		t.Fatalf("got %d lines, the last %q", n, out[max(0, len(out)-20):])
	}
}

// script reports one "name=value" per line; each is checked.
func TestContainerFromInside(t *testing.T) {
	e := newEngine(t, func(c *oci.Config) { c.Binary = "/bin/true" })
	s := spec(`
		echo user=$(id -u):$(id -g):$(id -un)
		echo home=$HOME:$PWD:$(hostname)
		echo profile=$PROFILE:$(cat hello)
		echo port=$PORT
		echo app=$(touch new dir/new hello /tmp/x && rm dir/y && echo writable)
		echo owner=$(stat -c %U:%G . hello dir new | sort -u)
		echo stack=$(touch /usr/x /etc/x /x 2>/dev/null || echo readonly)
		echo caps=$(grep -c 'Cap.*:.0000000000000000' /proc/self/status)
		echo nnp=$(grep -o 'NoNewPrivs:.1' /proc/self/status | tr -d '\t')
		echo seccomp=$(grep -o 'Seccomp:.2' /proc/self/status | tr -d '\t')
		echo unshare=$(unshare -U true 2>/dev/null || echo denied)
		echo mount=$(mount -t tmpfs x /tmp 2>/dev/null || echo denied)
		echo secrets=$(ls /etc/shadow /etc/gshadow /etc/ssl/private /root/.ssh 2>/dev/null | wc -l)
		echo processes=$(ls -d /proc/[0-9]* | wc -l | awk '{print ($1 < 6)}')
		echo sysctl=$(echo 1 2>/dev/null > /proc/sys/kernel/sysrq || echo readonly)
		echo stdout=$(echo again > /dev/stdout)
		echo stdin=$(wc -c < /dev/stdin)
		echo files=$(ulimit -n | awk '{print ($1 >= 1024)}')
		echo programs=$(hoist-compile && hoist-static && echo run)
		echo disk=$(df -m --output=size /app | tail -1 | awk '{print ($1 > 50 && $1 <= 64)}')
	`)
	s.Env = map[string]string{"PORT": "1234"}
	s.SlugPath = slug(t, map[string]string{
		"hello": "world", "dir/y": "z",
		".profile.d/a.sh": "PROFILE=a", ".profile.d/b.sh": "PROFILE=${PROFILE}b; export PROFILE",
	})
	out, exit := run(t, e, s)
	if exit.Code != 0 {
		t.Error(exit)
	}
	for _, want := range []string{
		"user=1000:1000:dyno", "home=/app:/app:web.1", "profile=ab:world", "port=1234", "app=writable", "owner=dyno:dyno",
		"stack=readonly", "caps=5", "nnp=NoNewPrivs:1", "seccomp=Seccomp:2", "unshare=denied", "mount=denied", "secrets=0",
		"processes=1", "sysctl=readonly", "stdout=again", "stdin=0", "files=1", "programs=run", "disk=1",
	} {
		if !strings.Contains("\n"+out, "\n"+want+"\n") {
			t.Errorf("want %s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestSimpleCommandIsTheFirstProcess(t *testing.T) {
	e := newEngine(t)
	out, _ := run(t, e, spec("cat /proc/1/comm"))
	if out != "cat\n" {
		t.Fatalf("first process is %q", out)
	}
}

func TestMemoryLimitIsReportedAsOOM(t *testing.T) {
	e := newEngine(t)
	s := spec(`exec perl -e '$x = "x" x (1 << 30); sleep 100'`)
	s.Size.Memory = 32 << 20
	_, exit := run(t, e, s)
	if !exit.OOM || exit.Code != 137 {
		t.Fatalf("got %+v", exit)
	}
}

func TestNothingIsLeftOfADynoWhoseMemoryIsUsedUp(t *testing.T) {
	e := newEngine(t)
	s := spec(`perl -e '$x = "x" x (1 << 30); sleep 100' & while :; do wait; sleep 1; done`)
	s.Size.Memory = 32 << 20
	if _, exit := run(t, e, s); !exit.OOM || exit.Code != 137 {
		t.Fatalf("got %+v", exit)
	}
}

func TestForkBombMeetsThePidsLimitOnly(t *testing.T) {
	e := newEngine(t)
	s := spec("for i in $(seq 100); do sleep 100 & done; echo made; sleep 100")
	s.Size.Pids = 20
	start(t, e, s)
	if out, exit := run(t, e, spec("echo fine")); out != "fine\n" || exit.Code != 0 {
		t.Fatalf("neighbour got %q, %+v", out, exit)
	}
	out, exit := watch(t, e, s.ID)
	if !strings.Contains(out.String(), "fork") || exit.Code == 0 || exit.OOM || !exit.PidsFull {
		t.Fatalf("got %q, %+v", out, exit)
	}
}

func TestFullDiskIsOneDynosOwn(t *testing.T) {
	e := newEngine(t)
	s := spec("head -c 200M /dev/zero > big; echo failed=$?; echo x > /tmp/small && echo tmp || echo notmp; sleep 0.5")
	out, exit := run(t, e, s)
	if !strings.Contains(out, "No space left on device") || !exit.DiskFull || exit.OOM {
		t.Fatalf("got %q, %+v", out, exit)
	}
	if out, exit := run(t, e, spec("head -c 20M /dev/zero > big && echo fits")); out != "fits\n" || exit.DiskFull {
		t.Fatalf("neighbour got %q, %+v", out, exit)
	}
}

func TestSignals(t *testing.T) {
	e := newEngine(t)
	for name, test := range map[string]struct {
		command string
		sig     syscall.Signal
		code    int
		output  string
	}{
		"handled":                    {`trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done`, syscall.SIGTERM, 3, "up\nbye\n"},
		"unhandled by first process": {`echo up; exec sleep 100`, syscall.SIGTERM, 143, "up\n"},
		"unhandled by first process, which is not the last": {`perl -e '$SIG{TERM} = sub { sleep 1; print "bye\n"; exit }; $| = 1; print "up\n"; sleep 100'; echo after`, syscall.SIGTERM, 143, "up\nbye\n"},
		"a helper that ignores it and ends with the first":  {`exec 3> >(trap '' TERM; echo up; exec cat); exec sleep 100`, syscall.SIGTERM, 143, "up\n"},
		"kill":          {`trap '' TERM; echo up; sleep 100`, syscall.SIGKILL, 137, "up\n"},
		"every process": {`trap 'wait; exit 4' TERM; (trap 'echo child; sleep 0.5; exit' TERM; while :; do sleep 0.05; done) & sleep 0.2; echo up; wait`, syscall.SIGTERM, 4, "up\nchild\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, e, spec(test.command))
			var out lines
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			go func() {
				for !strings.Contains(out.String(), "up") {
					time.Sleep(5 * time.Millisecond)
				}
				if err := e.Signal(ctx, s.ID, int(test.sig)); err != nil {
					t.Error(err)
				}
			}()
			exit, err := e.Watch(ctx, s.ID, &out)
			if err != nil || exit.Code != test.code || strings.ReplaceAll(out.String(), "Terminated\n", "") != test.output {
				t.Fatalf("got %+v, %v, output %q", exit, err, out.String())
			}
		})
	}
}

func TestDeadlineEndsTheContainer(t *testing.T) {
	e := newEngine(t)
	s := spec("trap '' TERM; sleep 100")
	s.Deadline = time.Now().Add(300 * time.Millisecond)
	_, exit := run(t, e, s)
	if !exit.TimedOut || exit.Code != 137 {
		t.Fatalf("got %+v", exit)
	}
}

func TestRemoveKillsAndCanBeRepeated(t *testing.T) {
	e := newEngine(t)
	s := start(t, e, spec("sleep 100"))
	for range 2 {
		if err := e.Remove(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := e.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("still there: %v, %v", list, err)
	}
	if _, err := e.Watch(t.Context(), s.ID, nil); !errors.Is(err, hoist.ErrNotFound) {
		t.Fatalf("watch: %v", err)
	}
}

func TestCancelledWatchLeavesTheContainerAlone(t *testing.T) {
	e := newEngine(t)
	s := start(t, e, spec("echo one; read x < <(sleep 1); echo two; exit 5"))
	ctx, cancel := context.WithCancel(t.Context())
	var first lines
	if _, err := e.Watch(ctx, s.ID, each(func(l []byte) { first.Line(hoist.Place{}, l); cancel() })); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	second, exit := watch(t, e, s.ID)
	if first.String() != "one\n" || second.String() != "two\n" || exit.Code != 5 {
		t.Fatalf("got %q, %q, %+v", first.String(), second, exit)
	}
}

// A dyno that could not be started is started again once what was in the way is gone.
func TestWhatIsLeftOfAFailedStartCanBeRemoved(t *testing.T) {
	cfg := config(t)
	e := newEngine(t, func(c *oci.Config) { *c = cfg })
	s := spec("echo fine")
	s.SlugPath = filepath.Join(t.TempDir(), "pipe") // whose opening waits for us
	if err := syscall.Mkfifo(s.SlugPath, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() { failed <- e.Start(t.Context(), s) }()
	held := filepath.Join(cfg.Dir, "containers", s.ID, "held")
	eventually(t, func() bool { return os.Mkdir(held, 0o700) == nil }, func() string { return "not begun" })
	if err := syscall.Mount("none", held, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(s.SlugPath, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	if err := <-failed; err == nil {
		t.Error("started")
	}
	if err := e.Remove(t.Context(), s.ID); err == nil {
		t.Error("removed what is mounted")
	}
	if err := syscall.Unmount(held, 0); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
	s.SlugPath = ""
	if out, _ := run(t, e, s); out != "fine\n" {
		t.Errorf("got %q", out)
	}
}

// A damaged slug is replaced while other dynos of its release run.
func TestAReplacedSlugIsUsed(t *testing.T) {
	before := traces(t)
	e := newEngine(t)
	s := spec("sleep 100")
	s.SlugPath = slug(t, map[string]string{"which": "first"})
	first := start(t, e, s)
	if err := os.Rename(slug(t, map[string]string{"which": "second"}), s.SlugPath); err != nil {
		t.Fatal(err)
	}
	s.ID, s.Command = hoist.NewID(), "cat which"
	if out, _ := run(t, e, s); out != "second\n" {
		t.Errorf("got %q", out)
	}
	if err := e.Remove(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}

func TestFailedStartLeavesNothing(t *testing.T) {
	e := newEngine(t)
	before := traces(t)
	bad := spec("true")
	bad.SlugPath = filepath.Join(t.TempDir(), "no-such-slug")
	broken := spec("true")
	broken.SlugPath = filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken.SlugPath, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	name := spec("true")
	name.Name = strings.Repeat("x", 100) // no host name
	for _, s := range []hoist.ContainerSpec{bad, broken, name} {
		if err := e.Start(t.Context(), s); err == nil {
			t.Errorf("started %+v", s)
		} else {
			t.Log(err)
		}
	}
	cut := spec("true")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Millisecond)
	defer cancel()
	if err := e.Start(ctx, cut); err != nil {
		t.Log(err)
	} else if err := e.Remove(t.Context(), cut.ID); err != nil {
		t.Fatal(err)
	}
	same(t, before)
}

func TestFiftyStartsAtOnce(t *testing.T) {
	e := newEngine(t)
	image := slug(t, map[string]string{"hello": "world"})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			s := spec(fmt.Sprintf("cat hello; echo %d; exit %[1]d", i))
			s.SlugPath = image
			if err := e.Start(t.Context(), s); err != nil {
				t.Error(err)
				return
			}
			var out lines
			exit, err := e.Watch(t.Context(), s.ID, &out)
			if err != nil || exit.Code != i || out.String() != fmt.Sprintf("world%d\n", i) {
				t.Errorf("%d: got %q, %+v, %v", i, out.String(), exit, err)
			}
			if err := e.Remove(t.Context(), s.ID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestNoZombiesAreLeft(t *testing.T) {
	for _, runtime := range []string{"crun", "runc"} {
		e := newEngine(t, func(c *oci.Config) { c.Runtime = runtime })
		start(t, e, spec("sleep 100"))
		run(t, e, spec("true"))
		// A process is a zombie for a moment before it is reaped.
		deadline := time.Now().Add(10 * time.Second)
		for left := zombies(t); left != ""; left = zombies(t) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: zombies %s", runtime, left)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// zombies lists this process's children that ended and were not reaped.
func zombies(t *testing.T) (list string) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		if stat, _ := os.ReadFile(path); strings.Contains(string(stat), fmt.Sprintf(") Z %d ", os.Getpid())) {
			list += string(stat)
		}
	}
	return list
}

func TestRunc(t *testing.T) {
	e := newEngine(t, func(c *oci.Config) { c.Runtime = "runc" })
	s := spec("cat hello; touch hello && grep Seccomp: /proc/self/status; exit 7")
	s.SlugPath = slug(t, map[string]string{"hello": "world\n"})
	out, exit := run(t, e, s)
	if out != "world\nSeccomp:\t2\n" || exit.Code != 7 {
		t.Fatalf("got %q, %+v", out, exit)
	}
	oom := spec(`exec perl -e '$x = "x" x (1 << 30)'`)
	oom.Size.Memory = 32 << 20
	if _, exit := run(t, e, oom); !exit.OOM {
		t.Fatalf("got %+v", exit)
	}
}
