#!/bin/sh
# make test: installs what the tests need, and runs all of them.
cd "$(dirname "$0")/.."
# They make containers, networks and control groups.
if [ "$(id -u)" != 0 ]; then
    exec sudo env "PATH=$PATH" ${HOIST_TEST_CACHE:+"HOIST_TEST_CACHE=$HOIST_TEST_CACHE"} script/test.sh
fi
exec </dev/null
# What dynos write is on disk, not in memory that counts as theirs.
if [ -z "${TMPDIR:-}" ] && [ "$(stat -fc %T /tmp)" = tmpfs ]; then
    export TMPDIR=/var/tmp
fi
. script/lib.sh

step "Looking at the machine"
need $platform_needs $test_needs
done_step
step "Getting Go"
need_go
done_step "$(go version | cut -d' ' -f3)"
. script/test-deps.sh
export HOIST_TEST_ALL=1 # what lacks something fails, and is not skipped

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=

# check NAME CMD…: a step that goes on with the others if it fails; its output
# is shown then, and again at the end.
check() {
    step "$1"
    log=$out/$(printf %s "$1" | tr -c 'A-Za-z0-9' _)
    shift
    if "$@" >"$log" 2>&1; then
        rm "$log"
        done_step
    else
        cat "$log"
        failed="$failed $log"
        done_step "FAILED"
    fi
}

# tests NAME ARG…: go test, with a line for each package as it ends. Tests that
# fail are tried once more, by themselves, and said to be unsteady if they pass
# then: what starts whole platforms has time limits, and machines are noisy.
tests() {
    step "$1"
    log=$out/$(printf %s "$1" | tr -c 'A-Za-z0-9' _)
    shift
    go_test "$@" && { done_step; return; }
    packages=$(sed -n 's/^FAIL\t\([^ \t]*\).*/\1/p' "$log" | sort -u)
    names=$(sed -n 's/^--- FAIL: \([A-Za-z0-9_]*\) .*/\1/p' "$log" | sort -u | paste -sd '|')
    cp "$log" "$log.first"
    if [ -n "$packages" ] && [ -n "$names" ] && ! grep -q '^panic:' "$log" && go_test -p 1 $(options "$@") -run "^($names)\$" $packages; then
        done_step "UNSTEADY: failed once, passed when tried again: $names"
        grep -E '^ *--- FAIL|^ +[a-z0-9_]+_test\.go:[0-9]+:' "$log.first" | head -n 60
    else
        failed="$failed $log.first"
        done_step "FAILED"
    fi
}

go_test() {
    rm -f "$log.ok"
    { go test -count=1 "$@" 2>&1 && echo PASSED >"$log.ok"; } | tee "$log" | grep --line-buffered -E '^(ok|FAIL|---|panic:|WARNING: DATA RACE)' | sed 's/^/       /' || true
    [ -e "$log.ok" ]
}

# options ARG…: the arguments that are not packages.
options() {
    for arg; do
        case $arg in ./* | */*) ;; *) printf '%s ' "$arg" ;; esac
    done
}

formatted() { test -z "$(gofmt -l $(git ls-files '*.go') | tee /dev/stderr)"; }
check "gofmt" formatted
check "go vet" go vet ./...
[ ! -x "$tools/staticcheck" ] || check "staticcheck" "$tools/staticcheck" ./...
if [ -x "$tools/govulncheck" ]; then
    step "govulncheck"
    if "$tools/govulncheck" ./... >"$out/vuln" 2>&1; then done_step
    elif grep -q '^Vulnerability #' "$out/vuln"; then cat "$out/vuln"; failed="$failed $out/vuln"; done_step FAILED
    else done_step "its database cannot be reached; left out"; fi
fi

# All, with those first that take longest: they start whole platforms, two at a time (more
# only make each other wait beyond their time limits), and mostly wait; the others
# run beside them.
HOIST_SCHEMA_REPORT=$out/schema.json tests "Testing everything but the platform on itself" -p 2 -timeout 60m -skip ^TestSelf ./e2e ./api/... $(go list ./... | grep -v -e '/api' -e '/e2e')

# The race detector, where goroutines share most. It is left out where other
# processes do the work (oci, e2e), as they take long and it would see little.
CGO_ENABLED=1 tests "Looking for data races" -race -short -p 2 -timeout 40m \
    ./router/... ./runtime ./logs ./nats ./blob ./compile ./rendezvous ./socket

tests "Testing the platform on itself" -timeout 90m -run "${HOIST_TEST_SELF:-^TestSelf}" ./e2e

for log in $failed; do
    printf '\n===== %s\n' "${log##*/}"
    grep -v '^ok ' "$log" | tail -n 150
done
printf '\n'
go run ./api/schematest/covered "$out/schema.json" || true
printf 'All took %ds.\n' $(($(date +%s) - started))
[ -z "$failed" ] || die "There are failures:$(for log in $failed; do printf ' %s' "${log##*/}"; done); see above."
