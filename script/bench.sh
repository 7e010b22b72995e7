#!/bin/sh
# make bench: figures, each beside its rival's in the same run. The table is
# also written to docs/benchmarks.md.
cd "$(dirname "$0")/.."
. script/lib.sh
[ "$(id -u)" = 0 ] || exec sudo env "PATH=$PATH" script/bench.sh

step "Looking at the machine"
need $platform_needs nginx:nginx-light wrk:wrk ps:procps
need_go
build
done_step
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step "Starting dynos, and bare containers"
go test -run '^$' -bench Start$ -benchtime 40x -timeout 10m ./oci >"$dir/oci" || { cat "$dir/oci"; die "The benchmark of oci failed."; }
done_step
step "Measuring what idle dynos take"
go test -run '^$' -bench IdleMemory -benchtime 1x -count 3 -timeout 10m ./oci >"$dir/memory" || { cat "$dir/memory"; die "The benchmark of oci failed."; }
done_step
step "Requests through the router, nginx, Caddy, and none"
bench/router.sh >"$dir/router" || { cat "$dir/router"; die "The benchmark of the router failed."; }
done_step
step "Pushing a Go app"
bench/push.sh go 'go build -o bin/hello .' >"$dir/go"
done_step
step "Pushing a Node.js app"
bench/push.sh node 'npm ci --no-audit --no-fund' >"$dir/node"
done_step

step "The platform on itself: bootstrap, upgrades, power cuts, lost runtimes"
bench/self.sh >"$dir/self"
done_step

# metric UNIT FILE: the median of the benchmark's metrics of that unit.
metric() { awk -v u="$1" '{for (i = 2; i <= NF; i++) if ($i == u) print $(i - 1)}' "$dir/$2" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a - b}'; }
router() { awk -v n="$1" '$1 == n {print $'"$2"'}' "$dir/router"; }
row() {
    d=14 a=12
    case $4 in *×*) d=15 ;; esac # printf counts bytes
    case $5 in *×*) a=13 ;; esac
    printf "| %-44s | %-12s | %-24s | %-${d}s | %-${a}s |\n" "$@"
}
table() {
    row "what" hoist rival difference aim
    row --- --- --- --- ---
    row "dyno start to first byte" "$(metric ms/start oci) ms" "$(metric ms/crun-run oci) ms (crun run)" "× $(metric x-crun-run oci)" "× 1.5"
    row "the same with nothing prepared" "$(metric ms/fresh-start oci) ms" "$(metric ms/crun-run oci) ms (crun run)" "× $(metric x-crun-run-fresh oci)" ""
    row "memory of an idle dyno beside its process" "$(metric MB/dyno memory) MB" "$(metric MB/process memory) MB (process)" "" "1.5 MB"
    for c in 64 256; do
        if [ $c = 64 ]; then rate=2 p99=3; else rate=6 p99=7; fi
        for rival in nginx Caddy direct; do
            [ -n "$(router $rival 2)" ] || continue
            aim=; [ $rival != Caddy ] || aim="> × 1"
            row "router, $c connections, requests/s" "$(router hoist $rate)" "$(router $rival $rate) ($rival)" "× $(ratio "$(router hoist $rate)" "$(router $rival $rate)")" "$aim"
            row "router, $c connections, p99" "$(router hoist $p99) ms" "$(router $rival $p99) ms ($rival)" "× $(ratio "$(router hoist $p99)" "$(router $rival $p99)")" ""
        done
    done
    for app in go node; do
        read -r push bare <"$dir/$app"
        row "push of examples/$app to serving" "$push s" "$bare s (bare build)" "+ $(minus "$push" "$bare") s" "+ 2 s"
    done
    while read -r name ours rival; do
        case $name in
        bootstrap) row "bootstrap, stage 0 to verified stage 3" "$ours s" "$rival s (3 bare builds)" "× $(ratio "$(minus "$ours" 20)" "$rival") + 20 s" "× 1.2 + 20 s" ;;
        upgrade) row "upgrade by git push to all of it replaced" "$ours s" "$rival s (bare build)" "+ $(minus "$ours" "$rival") s" "45 s" ;;
        cold) row "power cut, then start to an app's answer" "$ours s" "" "" "5 s" ;;
        lost) row "runtime killed, all its 50 dynos serve again" "$ours s" "" "" "3 s" ;;
        run) row "hoist run true, on itself" "$ours s" "$rival s (stage 0)" "× $(ratio "$ours" "$rival")" "× 1.1" ;;
        requests) row "requests/s of an app, on itself" "$ours" "$rival (stage 0)" "× $(ratio "$rival" "$ours") slower" "× 1.1" ;;
        push) row "push of examples/go to serving, on itself" "$ours s" "$rival s (stage 0)" "× $(ratio "$ours" "$rival")" "× 1.1" ;;
        esac
    done <"$dir/self"
}
table >"$dir/table"
{
    sed '/^<!-- figures -->$/q' docs/benchmarks.md
    printf '\n%s, %s, %d processors, Linux %s.\n\n' "$(git describe --always --dirty)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(uname -r)"
    cat "$dir/table"
} >"$dir/page"
cp "$dir/page" docs/benchmarks.md
printf '\n'
cat "$dir/table"
