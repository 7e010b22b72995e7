#!/bin/sh
# make test: installs what the tests need, and runs all of them.
cd "$(dirname "$0")/.."
. script/lib.sh

step "Looking at the machine"
need_packages $platform_packages runc procps iproute2 nginx-light
need_go
done_step
script/test-deps.sh
step "Checking"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || die "not formatted: $unformatted"
go vet ./...
done_step
step "Testing"
# Packages start platforms of their own; a few at a time finish sooner.
go test -count=1 -p 2 -timeout 40m ./...
done_step
