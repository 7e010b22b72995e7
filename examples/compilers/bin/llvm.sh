#!/usr/bin/env bash
# The talk's own demonstration: LLVM and clang in three stages. Stage 1 is
# compiled by gcc, 2 and 3 each by the clang before; the tests run between; the
# binaries of 2 and 3 are compared. A whole run takes hours: run it again with
# the same directory and it goes on where it stopped. A dyno's disk goes with the
# dyno; --keep has copies elsewhere, with which another dyno goes on.
set -euo pipefail

usage() {
  cat <<'U'
usage: bin/llvm.sh [options] [DIR]

  DIR               work directory, the same in every run (default /tmp/llvm)
  --keep URL        store each stage below this URL (HTTP PUT) every now and then,
                    and begin with what is there. With AWS_ACCESS_KEY_ID and
                    AWS_SECRET_ACCESS_KEY set: a bucket, https://S3-HOST/BUCKET/PREFIX
  --every TIME      how often to keep it (default 20m)
  --stages "1 2 3"  stages to do (default all)
  --targets LIST    LLVM_TARGETS_TO_BUILD (default X86)
  --jobs N          parallel compilations (default: cores)
  --version N       the distribution's llvm-toolchain-N (default 14)
  --test LIST       directories of clang/test to test each stage with (default Lexer; "none" skips)
  --only TARGET     build this ninja target instead of clang, to try the way (no comparison)
U
}

stages="1 2 3" targets=X86 jobs=$(nproc) version=14 tests=Lexer only=clang work=/tmp/llvm keep= every=20m
while [ $# -gt 0 ]; do
  case $1 in
    --stages) stages=$2; shift 2 ;;
    --targets) targets=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    --version) version=$2; shift 2 ;;
    --test) tests=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --keep) keep=${2%/}; shift 2 ;;
    --every) every=$2; shift 2 ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) work=$1; shift ;;
  esac
done
[[ $stages =~ ^[123](\ [123])*$ ]] || { echo " !     --stages wants some of \"1 2 3\", not $stages" >&2; exit 2; }
bin=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work" && work=$(cd "$work" && pwd)

if ! { command -v cmake && command -v ninja; } >/dev/null; then
  if [ ! -x "$work/tools/usr/bin/ninja" ]; then
    echo "-----> Fetching cmake and ninja, which are not in the stack"
    "$bin/packages" "$work/tools" cmake ninja-build
  fi
  export PATH=$work/tools/usr/bin:$PATH CMAKE_ROOT=$(echo "$work"/tools/usr/share/cmake-*)
  export LD_LIBRARY_PATH=$work/tools/usr/lib/$(gcc -print-multiarch)
fi

if [ ! -d "$work/source" ]; then
  echo "-----> Fetching the source package llvm-toolchain-$version"
  "$bin/source" "llvm-toolchain-$version" "$work/source.new"
  # Patched files are as new as the unpacking, that is newer than what another dyno made of them.
  find "$work/source.new" -exec touch -h -d @1 {} +
  mv "$work/source.new" "$work/source"
fi

# kept curl's arguments…: a request about what is kept.
kept() {
  [ -z "${AWS_ACCESS_KEY_ID-}" ] || set -- "$@" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    --aws-sigv4 "aws:amz:${AWS_REGION:-us-east-1}:s3" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD"
  curl -sS --fail --retry 3 "$@"
}

save() {
  [ -n "$keep" ] || return 0
  # In a file first, as S3 wants to know the size. Times are in the file with all their digits: ninja looks.
  tar c --format=posix -C "$work" "stage$1" | zstd -q -3 -T0 -f -o "$work/kept"
  kept -T "$work/kept" "$keep/stage$1.tar.zst" >/dev/null
  echo "       kept stage $1: $(du -h "$work/kept" | cut -f1)"
  rm "$work/kept"
}

fetch() {
  [ -n "$keep" ] && [ ! -d "$work/stage$1" ] || return 0
  if ! answer=$(kept -o "$work/kept" -w '%{http_code}' "$keep/stage$1.tar.zst" 2>/dev/null); then
    [ "$answer" = 404 ] && return 0
    echo " !     $keep/stage$1.tar.zst cannot be had (HTTP status $answer)" >&2
    exit 1
  fi
  zstd -q -d -c "$work/kept" | tar x -C "$work"
  rm "$work/kept"
  echo "-----> Going on with stage $1 as it was kept"
}

# build STAGE TARGET…: with breaks to keep what there is, if it is to be kept.
build() {
  stage=$1 && shift
  limit=()
  [ -z "$keep" ] || limit=(timeout --foreground --signal=INT "$every")
  while :; do
    code=0
    "${limit[@]}" ninja -C "$work/build" -j "$jobs" "$@" || code=$?
    [ $code = 0 ] || [ $code = 124 ] || exit $code
    save "$stage"
    [ $code = 124 ] || return 0
  done
}

cc=gcc cxx=g++
for stage in 1 2 3; do
  dir=$work/stage$stage
  fetch $stage
  if [[ " $stages " == *" $stage "* ]]; then
    [ $stage = 1 ] || [ -x "$cc" ] || { echo " !     stage $stage needs the clang of stage $((stage - 1))" >&2; exit 1; }
    echo "-----> Stage $stage: compiled by $($cc --version | head -n 1)"
    started=$SECONDS
    # One path for every stage: assertions and debug strings hold it.
    rm -f "$work/build" && mkdir -p "$dir" && ln -s "$dir" "$work/build"
    [ -f "$dir/build.ninja" ] || CC=$cc CXX=$cxx cmake -G Ninja -S "$work/source/llvm" -B "$work/build" \
      -DCMAKE_BUILD_TYPE=Release -DLLVM_ENABLE_PROJECTS=clang -DLLVM_TARGETS_TO_BUILD="$targets" \
      -DLLVM_ENABLE_ASSERTIONS=OFF -DLLVM_PARALLEL_LINK_JOBS=1 -DLLVM_ENABLE_ZLIB=OFF -DLLVM_ENABLE_TERMINFO=OFF \
      -DLLVM_ENABLE_LIBXML2=OFF -DLLVM_APPEND_VC_REV=OFF >"$work/configure$stage.log" 2>&1 ||
      { tail -n 30 "$work/configure$stage.log"; exit 1; }
    build $stage "$only"
    if [ "$only" = clang ] && [ "$tests" != none ]; then
      echo "-----> Testing stage $stage ($tests)"
      # Not ninja's check-clang-…, which compiles all tools and unit tests for any of them.
      build $stage FileCheck count not llvm-config split-file
      for directory in $tests; do
        "$work/build/bin/llvm-lit" -j "$jobs" --quiet "$work/source/clang/test/$directory"
      done
    fi
    echo "       stage $stage: $((SECONDS - started)) s"
  fi
  [ -x "$dir/bin/clang" ] || [ "$only" = clang ] || exit 0
  cc=$dir/bin/clang cxx=$dir/bin/clang++
done

echo "-----> Comparing"
for stage in 1 2; do
  a=$work/stage$stage/bin/clang b=$work/stage$((stage + 1))/bin/clang
  [ -x "$a" ] && [ -x "$b" ] || { echo "       stage $stage and $((stage + 1)): not both there yet"; continue; }
  echo "+ diff <(strings stage$stage/bin/clang) <(strings stage$((stage + 1))/bin/clang) | wc"
  { diff <(strings "$a") <(strings "$b") || [ $? = 1 ]; } | wc
done
[ -x "$work/stage3/bin/clang" ] || exit 0
if cmp "$work/stage2/bin/clang" "$work/stage3/bin/clang"; then
  echo "       stage 2 = stage 3, bit for bit"
else
  echo " !     stage 2 and stage 3 differ" >&2
  exit 1
fi
