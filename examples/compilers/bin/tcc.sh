#!/usr/bin/env bash
# TinyCC in three stages: built by gcc, then by itself, then by that again.
# Stages 2 and 3 must be the same, bit for bit.
set -euo pipefail
bin=$(cd "$(dirname "$0")" && pwd)
work=${1:-/tmp/tcc}
mkdir -p "$work"

echo "-----> Fetching TinyCC's source package"
"$bin/source" tcc "$work/source"

CC=gcc
for stage in 1 2 3; do
  echo "-----> Stage $stage: compiled by $CC"
  # All stages are built at one path: the path is in the debug strings.
  build=$work/build
  rm -rf "$build" && cp -r "$work/source" "$build"
  cd "$build"
  ./configure --prefix="$work/tcc" --cc="$CC" --extra-cflags="-O1" >"$work/stage$stage.log" 2>&1
  started=$SECONDS
  make -s >>"$work/stage$stage.log" 2>&1 || { tail -n 30 "$work/stage$stage.log"; exit 1; }
  make -s install >>"$work/stage$stage.log" 2>&1
  rm -rf "$work/stage$stage" && mkdir -p "$work/stage$stage"
  cp tcc "$work/stage$stage/"
  CC="$work/stage$stage/tcc"
  echo "       $(sha256sum < "$work/stage$stage/tcc" | cut -c1-12), $(stat -c %s "$work/stage$stage/tcc") bytes, $((SECONDS - started)) s"

  echo "-----> Testing stage $stage"
  echo 'int printf(const char *, ...); int fib(int n) { return n < 2 ? n : fib(n-1) + fib(n-2); }
        int main(void) { printf("%d\n", fib(20)); return 0; }' > "$work/fib.c"
  [ "$("$CC" -run "$work/fib.c")" = 6765 ]
  echo "       fib(20) = 6765"
done

echo "-----> Comparing"
for stage in 1 2; do
  echo "       stage $stage, stage $((stage + 1)): $(diff <(strings "$work/stage$stage/tcc") <(strings "$work/stage$((stage + 1))/tcc") | wc -l) lines of strings differ"
done
if cmp "$work/stage2/tcc" "$work/stage3/tcc"; then
  echo "       stage 2 = stage 3, bit for bit"
else
  echo " !     stage 2 and stage 3 differ" >&2
  exit 1
fi
