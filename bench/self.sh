#!/bin/sh
# self.sh: what it takes and costs that the platform runs on itself. One platform
# goes from stage 0 to stage 3, is upgraded, loses all its processes, and
# loses a runtime with fifty dynos. Another one stays at stage 0: what is compared with it is done with both in turn,
# as a machine may be faster at one time than at another. Prints "NAME HOIST RIVAL" for each figure, times in seconds;
# medians, of requests, too. Needs bin/hoist of what is committed here.
cd "$(dirname "$0")/.."
. bench/platform.sh
export HOIST_MEMORY=$((64 << 30)) # as much as fifty dynos may ask for; they take little
work=$dir/home/hoist-hoist

# What is compared between the stages.
serving() {
    start
    app go
    push
}
one_off() { timed "$dir/run" quiet "$hoist" run -a bench true; }
requests() { wrk -t2 -c64 -d3s -H 'Host: bench.localhost' "http://127.0.0.1:$port/" | awk '/^Requests\/sec/ {print $2}' >>"$dir/requests"; }
changed_push() {
    change "$1"
    timed "$dir/push" push
}

# in_turn N CMD… does it N times here and with the other platform.
in_turn() {
    n=$1
    shift
    for i in $(seq "$n"); do
        other "$@" "$i"
        "$@" "$i"
    done
}

# seed EXPRESSION prints a value of the seed's status s (JavaScript), if that answers.
seed() {
    "$hoist" seed status --json 2>/dev/null |
        node -e 'const s = JSON.parse(require("fs").readFileSync(0)); console.log(eval(process.argv[1]))' "$1" 2>/dev/null || true
}

# settled VERSION waits until that release is proven and does all the work, the seed's too.
settled() {
    since=$(date +%s)
    until [ "$(seed "s.ready && s.system.settled && s.system.version == $1 && s.system.good == $1 && s.system.seed == $1 &&
        s.system.dynos.every(d => d.state == 'stopping' || d.state == 'up' && d.version == $1)")" = true ]; do
        [ $(($(date +%s) - since)) -lt 120 ] || die "v$1 of hoist does not do all the work:" "$("$hoist" seed status)"
    done
}

bootstrap() { quiet env GOMODCACHE="$(go env GOMODCACHE)" HOME="$dir/home" "$hoist" bootstrap --source "$root"; }
bare_bootstrap() { for _ in 1 2 3; do quiet compile "$dir/bare" -a; done; }
upgrade() {
    quiet git -C "$work" push -q hoist HEAD:main
    settled "$1"
}

# everything prints the processes of the platform: those in its control groups,
# those that name its data directory, and their children.
everything() (
    data=$HOIST_DATA
    unset HOIST_DATA # or what this starts would name it
    echo "$data" >"$dir/name"
    cgroup=hoist-$(printf %s "$data" | sha256sum | cut -c1-8)
    found=$(grep -lFf "$dir/name" /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3 | sort -u)
    {
        find /sys/fs/cgroup -path "*$cgroup*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
        [ -z "$found" ] || ps -o pid= -p "$(echo $found)" --ppid "$(echo $found)" || true
    } | sort -un
)
power_cut() {
    for _ in $(seq 100); do
        pids=$(everything)
        [ -n "$pids" ] || return 0
        kill -KILL $pids 2>/dev/null || true
    done
    die "Processes of the platform cannot be killed:" "$(ps -fp "$(echo $pids)")"
}
cold_start() {
    "$hoist" seed --daemon >"$dir/started" 2>&1 &
    for _ in $(seq 1000); do ! ask bench || return 0; sleep 0.02; done
    die "The app does not serve again:" "$(cat "$dir/started")"
}

# fifty makes apps with a small server each, a dyno of each is on the first runtime.
fifty() {
    git init -q -b main "$dir/small"
    (cd examples/go && cp Procfile "$dir/small" && go build -o "$dir/small/bin/hello" .)
    git -C "$dir/small" add -A
    git -C "$dir/small" commit -q -m small
    for i in $(seq 50); do
        quiet "$hoist" create "small-$i" --no-remote
        quiet git -C "$dir/small" push -q "$(remote "small-$i")" HEAD:main
        printf 'url = "http://small-%s.localhost/"\noutput = /dev/null\n' "$i"
    done >"$dir/fifty"
}
all_serve() { [ "$(curl -sZ --parallel-max 50 -m 0.5 --connect-to "::127.0.0.1:$port" -K "$dir/fifty" -w '%{http_code}\n' 2>/dev/null | grep -cx 200)" = 50 ]; }
scale_runtime() {
    quiet "$hoist" ps:scale "runtime=$1" -a hoist
    for _ in $(seq 600); do
        [ "$(seed "s.system.settled && s.system.dynos.filter(d => d.name.startsWith('runtime')).length")" != "$1" ] || return 0
    done
    die "There are not $1 runtimes:" "$("$hoist" seed status)"
}
lose_runtime() {
    kill -KILL "$1"
    while all_serve; do :; done
    for _ in $(seq 500); do ! all_serve || return 0; done
    die "Not all fifty dynos serve again." "$("$hoist" seed status)"
}

serving
timed "$dir/bare-bootstrap" bare_bootstrap
mkdir "$dir/home"
timed "$dir/bootstrap" bootstrap
other serving
in_turn 15 one_off
in_turn 12 requests
in_turn 5 changed_push
other gone
version=$(seed s.system.version)
for i in 1 2 3; do
    version=$((version + 1))
    sed -i "1i // Change $i." "$work/router/router.go"
    git -C "$work" commit -qam "Change $i"
    timed "$dir/upgrade" upgrade $version
    (cd "$work" && timed "$dir/bare-upgrade" quiet compile "$dir/bare")
done
for _ in 1 2 3; do
    power_cut
    timed "$dir/cold" cold_start
    settled $version
done
fifty
for _ in 1 2 3; do
    scale_runtime 1
    scale_runtime 2
    all_serve || die "Not all fifty dynos serve."
    timed "$dir/lost" lose_runtime "$(seed "s.system.dynos.find(d => d.name == 'runtime.1').pid")"
done
cat <<FIGURES
bootstrap $(seconds "$dir/bootstrap") $(seconds "$dir/bare-bootstrap")
upgrade $(seconds "$dir/upgrade") $(seconds "$dir/bare-upgrade")
cold $(seconds "$dir/cold")
lost $(seconds "$dir/lost")
run $(seconds "$dir/run") $(seconds "$dir/other/run")
requests $(median "$dir/requests") $(median "$dir/other/requests")
push $(seconds "$dir/push") $(seconds "$dir/other/push")
FIGURES
