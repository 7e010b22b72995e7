#!/bin/sh
# Gets what only the tests use, once: the heroku command line into
# build/test-deps, and into a cache ($HOIST_TEST_CACHE, default
# ~/.cache/hoist-test) the S3 servers that the blob tests run against, and
# checkers. What cannot be had is said: without a checker `make test` goes on, without a server its tests fail.
[ -n "${started-}" ] || { cd "$(dirname "$0")/.."; . script/lib.sh; need_go; }
tools=${HOIST_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hoist-test}/bin

# tool NAME MODULE@VERSION
tool() {
    [ ! -x "$tools/$1" ] || return 0
    step "Building $1 for the tests (once)"
    if GOFLAGS=-trimpath GOBIN="$tools" go install "$2" >/dev/null 2>"$tools/$1.log"; then
        done_step
    else
        tail -n 3 "$tools/$1.log"
        done_step "cannot be built here"
    fi
    rm -f "$tools/$1.log"
}

mkdir -p "$tools" build/test-deps
step "Getting the Go modules"
go mod download
done_step
if [ ! -x build/test-deps/node_modules/.bin/heroku ]; then
    step "Getting the heroku command line"
    npm install --prefix build/test-deps --no-audit --no-fund --loglevel=error heroku@11 >build/test-deps/log 2>&1 </dev/null || {
        tail -n 20 build/test-deps/log >&2
        die "npm cannot install heroku; is its registry reachable (npm config get registry)?"
    }
    done_step "$(build/test-deps/node_modules/.bin/heroku --version 2>/dev/null | cut -d' ' -f1)"
fi
tool staticcheck honnef.co/go/tools/cmd/staticcheck@latest
tool govulncheck golang.org/x/vuln/cmd/govulncheck@latest
tool versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
tool minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
