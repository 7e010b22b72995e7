# Sourced by the benchmarks that need a platform of their own. It is started here,
# with all its files in $dir, and gone at the end, however that comes.
# Ports: $HOIST_BENCH_PORT and the next seven; networks: $HOIST_BENCH_NETWORK and
# $HOIST_BENCH_NETWORK2, a /18 each; the last four and the second are another platform's.
. script/lib.sh
root=$PWD hoist=$PWD/bin/hoist dir=$(mktemp -d)
chmod 755 "$dir"
export GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench@example.com GIT_COMMITTER_NAME=bench GIT_COMMITTER_EMAIL=bench@example.com
unset HOIST_APP HOIST_API_KEY

# platform PORT NETWORK: what is started has its files in $dir.
platform() {
    port=$1
    export HOIST_DATA="$dir/data" HOIST_HTTP_PORT=$port HOIST_HTTPS_PORT=$((port + 1)) HOIST_SSH_PORT=$((port + 2)) \
        HOIST_RENDEZVOUS_PORT=$((port + 3)) HOIST_NETWORK="$2" HOIST_HOST="http://localhost:$port" XDG_CONFIG_HOME="$dir/config"
}
platform "${HOIST_BENCH_PORT:-$((20000 + $$ % 1000 * 8))}" "${HOIST_BENCH_NETWORK:-10.229.0.0/18}"

# other CMD…: with another platform, in $dir/other.
other() (
    dir=$dir/other
    platform $((port + 4)) "${HOIST_BENCH_NETWORK2:-10.229.64.0/18}"
    "$@"
)

gone() { [ ! -d "$HOIST_DATA" ] || "$hoist" purge --yes >/dev/null 2>"$dir/log" || cat "$dir/log" >&2; }
end() {
    trap '' INT TERM HUP
    other gone
    gone
    rm -rf "$dir"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# quiet CMD… says what a command said only if it fails, which is the end.
quiet() { "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; die "This failed: $*"; }; }

# start starts the platform, and logs in.
start() {
    mkdir -p "$dir"
    build_mirrors
    quiet "$hoist" seed --daemon
    "$hoist" seed exec api "$hoist" admin account bench@example.com --token bench </dev/null >"$dir/token"
    quiet "$hoist" login --host "$HOIST_HOST" --token "$(cat "$dir/token")" --ca "$HOIST_DATA/ca.pem"
}

# remote APP is where git pushes an app to.
remote() { echo "http://bench:$(cat "$dir/token")@git.localhost:$port/$1.git"; }

# ask APP has an app answer, or fails.
ask() { curl -fs -m 1 -o /dev/null -H "Host: $1.localhost" "http://127.0.0.1:$port/"; }

# app NAME makes the app bench, and a working copy of examples/NAME in $dir/app.
app() {
    quiet "$hoist" create bench --no-remote
    cp -R "examples/$1" "$dir/app"
    git -C "$dir/app" init -q -b main
    change 0
}

# change N commits a change of a source file that does not alter what it does.
change() {
    [ "$1" = 0 ] || for f in main.go server.js; do [ ! -e "$dir/app/$f" ] || echo "// change $1" >>"$dir/app/$f"; done
    git -C "$dir/app" add -A
    git -C "$dir/app" commit -q -m "change $1"
}

# push pushes the app and waits for an answer from it.
push() {
    quiet git -C "$dir/app" push -q "$(remote bench)" HEAD:main
    until ask bench; do sleep 0.02; done
}

# timed FILE CMD… adds the milliseconds that a command took to a file.
timed() {
    file=$1 began=$(date +%s%N)
    shift
    "$@"
    echo $((($(date +%s%N) - began) / 1000000)) >>"$file"
}

# median FILE is that of the file's milliseconds; seconds FILE in seconds.
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
seconds() { awk -v ms="$(median "$1")" 'BEGIN {printf ms < 1000 ? "%.3f" : "%.2f", ms / 1000}'; }
