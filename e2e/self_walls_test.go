package e2e

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

// inside says what a dyno is and sees. $TARGETS are addresses that it must not reach; at its own
// gateway, which only it knows, the same ports; $FILES the platform's files.
const inside = `
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\t'
echo ids: $(cat /proc/self/uid_map)
curl -sS -m 5 $OUTSIDE/hello
while read -r _ to by _; do
  [ $to != 00000000 ] || gateway=$((0x${by:6:2})).$((0x${by:4:2})).$((0x${by:2:2})).$((0x${by:0:2}))
done </proc/net/route
for port in $PORTS; do TARGETS="$TARGETS $gateway:$port"; done
for at in $TARGETS; do
  (timeout 3 bash -c "exec 3<>/dev/tcp/${at%:*}/${at##*:}" 2>/dev/null && echo REACHED $at) &
done
wait
for file in $FILES /var/lib/hoist/* /run/*; do [ ! -e $file ] || echo SEES $file; done
for process in /proc/[0-9]*; do tr '\0' ' ' <$process/cmdline | grep -q '^bin/hoist ' && echo SEES $process; done
tr '\0' '\n' </proc/1/environ | grep -E '^(DATABASE|NATS|BLOB)_URL='
mount -t tmpfs none /tmp 2>/dev/null && echo MAY mount
unshare -U true 2>/dev/null && echo MAY unshare
[ -n "$gateway" ] && echo all tried
`

// wallsHold looks from inside a dyno of an app, whose runtime is a dyno, too: it has none of the
// privileges with which that made it, and reaches and sees nothing of it, of the ground and of other dynos.
func (w *selfWorld) wallsHold(t *testing.T) {
	t.Helper()
	ports := []string{strconv.Itoa(w.HTTP), strconv.Itoa(w.SSH)}
	env, err := w.hoist("seed", "env", hoist.ComponentAPI)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "BLOB_URL"} {
		_, rest, _ := strings.Cut("\n"+env, "\n"+name+"=")
		value, _, _ := strings.Cut(rest, "\n")
		u, err := url.Parse(value)
		if err != nil || u.Port() == "" {
			t.Fatalf("%s has no port: %v", name, err)
		}
		ports = append(ports, u.Port())
	}
	var numbers []int
	for _, p := range ports {
		n, _ := strconv.Atoi(p)
		numbers = append(numbers, n)
	}
	targets, err := probes(w.platform, numbers...)
	if err != nil {
		t.Fatal(err)
	}
	var dynos []struct{ Address string }
	if err := w.query(&dynos, `SELECT address FROM dynos WHERE state = 'up' AND address <> ''`); err != nil || len(dynos) < len(w.apps) {
		t.Fatalf("%d dynos serve, %v", len(dynos), err)
	}
	for _, d := range dynos {
		targets = append(targets, d.Address)
	}
	set := fmt.Sprintf("OUTSIDE=%s TARGETS='%s' PORTS='%s' FILES='%s'\n", internet.URL, strings.Join(targets, " "), strings.Join(ports, " "), w.Dir)
	out, ran := w.apps[1].cli(t.Context(), "run", set+inside).Output() // the other output has the script
	said := string(out)
	for _, want := range []string{"hello from outside", "CapEff:0000000000000000", "CapBnd:0000000000000000", "NoNewPrivs:1", "Seccomp:2", "all tried"} {
		if !strings.Contains(said, want+"\n") {
			t.Errorf("a dyno does not say %q", want)
		}
	}
	if bad := regexp.MustCompile(`(?m)^.*(REACHED|SEES|MAY|_URL=).*$`).FindAllString(said, -1); len(bad) > 0 {
		t.Errorf("in a dyno: %v", bad)
	}

	pid, err := w.systemDyno(hoist.ComponentRuntime)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		t.Fatal(err)
	}
	var first, outside, n, runtimes int
	if _, err := fmt.Sscan(string(text), &first, &runtimes, &n); err != nil || runtimes != 0 {
		t.Errorf("a runtime's users are those from %d on, %v: this test no longer knows what it compares", runtimes, err)
	}
	_, ids, _ := strings.Cut(said, "ids: ")
	if _, err := fmt.Sscan(ids, &first, &outside, &n); err != nil || outside < 1<<16 || n > 1<<16 {
		t.Errorf("a dyno's users are %d from %d on, %v; a runtime's from 0 on", n, outside, err)
	}
	if t.Failed() {
		t.Logf("it said, with %v:\n%s", ran, said)
	}
}
