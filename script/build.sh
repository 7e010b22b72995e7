#!/bin/sh
# make build: bin/hoist.
cd "$(dirname "$0")/.."
. script/lib.sh
need_go
build
