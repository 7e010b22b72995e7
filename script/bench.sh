#!/bin/sh
# make bench: figures, each beside its rival's in the same run.
cd "$(dirname "$0")/.."
. script/lib.sh

step "Looking at the machine"
need_packages $platform_packages nginx-light wrk
need_go
done_step
go test -run '^$' -bench . -benchtime 1x -count=1 -p 1 -timeout 40m ./...
