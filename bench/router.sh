#!/bin/sh
# Compare the router with no proxy, nginx and Caddy, in one run on loopback.
# Rivals that are not there are left out; Caddy is built if the Go proxy has it.
set -eu
cd "$(dirname "$0")/.."
tools=${HOIST_BENCH_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hoist-bench}
export PATH="$PATH:/usr/sbin:$tools"
if ! command -v caddy >/dev/null; then
	echo "-----> Building Caddy (once)"
	GOBIN=$tools GOFLAGS=-mod=mod go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 ||
		echo " !     Caddy cannot be built; going on without"
fi
HOIST_BENCH=1 go test -count=1 -v -run '^TestBenchmark$' ./router | grep -v '^\(===\|---\|PASS\|ok\)'
