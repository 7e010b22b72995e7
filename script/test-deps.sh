#!/bin/sh
# Builds the S3 servers that the blob tests run against, once, into a cache:
# $HOIST_TEST_CACHE, default ~/.cache/hoist-test. Minutes of work; the tests
# skip what is missing and say so.
set -eu
bin=${HOIST_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hoist-test}/bin
mkdir -p "$bin"
install() { # NAME MODULE@VERSION
    [ -x "$bin/$1" ] && return
    echo "-----> Building $1 for the tests (a few minutes, once)"
    GOFLAGS= GOBIN="$bin" nice go install "$2" || echo " !    $1 cannot be built here; its tests will be skipped"
}
install versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
install minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
