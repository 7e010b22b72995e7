#!/usr/bin/env bash
# The Go toolchain builds itself: stage 1 by the Go that is there, 2 and 3 each
# by the stage before. Stages 2 and 3 must be the same, bit for bit.
# bin/go.sh [DIR [STAGES]]
set -euo pipefail
work=${1:-/tmp/go} stages=${2:-3}
mkdir -p "$work"
export PATH=$PATH:/usr/local/go/bin # where Go's own archive is unpacked
export HOME=$work GOTOOLCHAIN=local GOFLAGS= GOPROXY=off CGO_ENABLED=0
go version >/dev/null || { echo " !     there is no Go here to begin with" >&2; exit 1; }
given=$(go env GOROOT) bootstrap=$(go env GOROOT)

for stage in $(seq "$stages"); do
  echo "-----> Stage $stage: compiled by $("$bootstrap/bin/go" version)"
  # All stages are built at one path, without any cache.
  rm -rf "$work/build" "$work/cache" && mkdir -p "$work/build/pkg"
  # The distribution's Go is made of symbolic links: -L.
  for part in VERSION go.env src lib pkg/include; do
    [ ! -e "$given/$part" ] || cp -rL "$given/$part" "$work/build/$part"
  done
  started=$SECONDS
  (cd "$work/build/src" && GOROOT= GOCACHE=$work/cache GOROOT_BOOTSTRAP=$bootstrap ./make.bash 2>&1) | sed -u 's/^/       /'
  rm -rf "$work/stage$stage" && mv "$work/build" "$work/stage$stage"
  bootstrap=$work/stage$stage
  echo "       $(sha256sum < "$bootstrap/pkg/tool/linux_$(go env GOARCH)/compile" | cut -c1-12) compile, $(sha256sum < "$bootstrap/bin/go" | cut -c1-12) go, $((SECONDS - started)) s"

  echo "-----> Testing stage $stage"
  printf 'package main\nimport "fmt"\nfunc main() { fmt.Println("6765") }\n' > "$work/main.go"
  [ "$(GOROOT=$bootstrap GOCACHE=$work/cache "$bootstrap/bin/go" run "$work/main.go")" = 6765 ]
  echo "       ok"
done

echo "-----> Comparing"
last=$work/stage$stages before=$work/stage$((stages - 1))
if diff -rq "$before/bin" "$last/bin" && diff -rq "$before/pkg/tool" "$last/pkg/tool"; then
  echo "       stage $((stages - 1)) = stage $stages, bit for bit: bin/ and pkg/tool/"
else
  echo " !     stages $((stages - 1)) and $stages differ" >&2
  exit 1
fi
