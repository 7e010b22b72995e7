#!/bin/sh
# push.sh NAME COMMAND: the time from `git push` of examples/NAME to an answer
# from what was pushed, beside that of the bare build COMMAND in a clean copy;
# both with warm caches, one after the other. Prints "push bare", medians of five
# in seconds. Needs bin/hoist; runs a platform of its own. Ports: $HOIST_BENCH_PORT and the next three.
set -eu
cd "$(dirname "$0")/.."
hoist=$PWD/bin/hoist example=$PWD/examples/$1 command=$2
dir=$(mktemp -d)
chmod 755 "$dir"
port=${HOIST_BENCH_PORT:-$((20000 + $$ % 2000 * 4))}
export HOIST_DATA="$dir/data" HOIST_HTTP_PORT=$port HOIST_HTTPS_PORT=$((port + 1)) HOIST_SSH_PORT=$((port + 2)) \
    HOIST_RENDEZVOUS_PORT=$((port + 3)) HOIST_NETWORK=10.229.0.0/18 HOIST_HOST="http://api.localhost:$port" XDG_CONFIG_HOME="$dir/config"
end() {
    "$hoist" purge --yes >/dev/null 2>"$dir/log" || cat "$dir/log" >&2
    rm -rf "$dir"
}
trap end EXIT
quiet() { "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }; }
quiet "$hoist" seed --daemon
HOIST_API_KEY=$("$hoist" seed exec api "$hoist" admin account bench@example.com --token bench </dev/null)
export HOIST_API_KEY
quiet "$hoist" create bench
cp -R "$example" "$dir/app"
cd "$dir/app"
git init -q -b main
git config user.name bench
git config user.email bench@example.com
remote="http://bench:$HOIST_API_KEY@git.localhost:$port/bench.git"

now() { date +%s%N; }
# change makes a commit that alters a source file, but not what it does.
change() {
    case $1 in 
    0) ;;
    *) for f in main.go server.js; do [ ! -e "$f" ] || echo "// change $1" >>"$f"; done ;;
    esac
    git add -A
    git commit -q -m "change $1"
}
push() {
    begun=$(now)
    quiet git push -q "$remote" HEAD:main
    until curl -fs -o /dev/null -H "Host: bench.localhost" "http://127.0.0.1:$port/"; do sleep 0.02; done
    echo $((($(now) - begun) / 1000000))
}
bare() {
    rm -rf "$dir/bare"
    git clone -q . "$dir/bare"
    begun=$(now)
    (cd "$dir/bare" && quiet sh -c "$command")
    echo $((($(now) - begun) / 1000000))
}
change 0
push >/dev/null
bare >/dev/null
for i in 1 2 3 4 5; do
    change $i
    push >>"$dir/push"
    bare >>"$dir/bares"
done
median() { sort -n "$1" | awk '{v[NR] = $1} END {printf "%.2f", v[int((NR + 1) / 2)] / 1000}'; }
printf '%s %s\n' "$(median "$dir/push")" "$(median "$dir/bares")"
