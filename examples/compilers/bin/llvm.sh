#!/usr/bin/env bash
# The talk's own demonstration: LLVM and clang in three stages. Stage 1 is
# compiled by gcc, 2 and 3 each by the clang before; the tests run between; the
# binaries of 2 and 3 are compared. A whole run takes hours: run it again with
# the same directory and it goes on where it stopped.
set -euo pipefail

usage() {
  cat <<'U'
usage: bin/llvm.sh [options] [DIR]

  DIR               work directory, kept between runs (default /tmp/llvm)
  --stages "1 2 3"  stages to do (default all)
  --targets LIST    LLVM_TARGETS_TO_BUILD (default X86)
  --jobs N          parallel compilations (default: cores)
  --version N       the distribution's llvm-toolchain-N (default 14)
  --test TARGET     ninja target to test with (default check-clang-lexer; "none" skips)
  --only TARGET     build this ninja target instead of clang, to try the way (no comparison)
U
}

stages="1 2 3" targets=X86 jobs=$(nproc) version=14 tests=check-clang-lexer only=clang work=/tmp/llvm
while [ $# -gt 0 ]; do
  case $1 in
    --stages) stages=$2; shift 2 ;;
    --targets) targets=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    --version) version=$2; shift 2 ;;
    --test) tests=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) work=$1; shift ;;
  esac
done
bin=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work" && work=$(cd "$work" && pwd)

# cmake and ninja may not be in the stack: unpack the distribution's packages here.
if ! command -v cmake ninja >/dev/null; then
  if [ ! -x "$work/tools/usr/bin/ninja" ]; then
    echo "-----> Fetching cmake and ninja"
    "$bin/packages" "$work/tools" cmake cmake-data ninja-build libarchive13 librhash0 libuv1 libjsoncpp25 libxml2 libicu72
  fi
  export PATH=$work/tools/usr/bin:$PATH CMAKE_ROOT=$work/tools/usr/share/cmake-3.25
  export LD_LIBRARY_PATH=$work/tools/usr/lib/x86_64-linux-gnu
fi

[ -d "$work/source" ] || echo "-----> Fetching the source package llvm-toolchain-$version"
"$bin/source" "llvm-toolchain-$version" "$work/source"

cc=gcc cxx=g++
for stage in 1 2 3; do
  dir=$work/stage$stage
  if [[ " $stages " == *" $stage "* ]]; then
    echo "-----> Stage $stage: compiled by $($cc --version | head -n 1)"
    started=$SECONDS
    # One path for every stage: assertions and debug strings hold it.
    rm -f "$work/build" && mkdir -p "$dir" && ln -s "$dir" "$work/build"
    [ -f "$dir/build.ninja" ] || CC=$cc CXX=$cxx cmake -G Ninja -S "$work/source/llvm" -B "$work/build" \
      -DCMAKE_BUILD_TYPE=Release -DLLVM_ENABLE_PROJECTS=clang -DLLVM_TARGETS_TO_BUILD="$targets" \
      -DLLVM_ENABLE_ASSERTIONS=OFF -DLLVM_PARALLEL_LINK_JOBS=1 -DLLVM_ENABLE_ZLIB=OFF -DLLVM_ENABLE_TERMINFO=OFF \
      -DLLVM_ENABLE_LIBXML2=OFF -DLLVM_APPEND_VC_REV=OFF >"$work/configure$stage.log" 2>&1 ||
      { tail -n 30 "$work/configure$stage.log"; exit 1; }
    ninja -C "$work/build" -j "$jobs" "$only"
    if [ "$only" = clang ] && [ "$tests" != none ]; then
      echo "-----> Testing stage $stage ($tests)"
      ninja -C "$work/build" -j "$jobs" "$tests"
    fi
    echo "       stage $stage: $((SECONDS - started)) s"
  fi
  [ -x "$dir/bin/clang" ] || { [ "$only" = clang ] && continue || exit 0; }
  cc=$dir/bin/clang cxx=$dir/bin/clang++
done

echo "-----> Comparing"
for stage in 1 2; do
  a=$work/stage$stage/bin/clang b=$work/stage$((stage + 1))/bin/clang
  [ -x "$a" ] && [ -x "$b" ] || { echo "       stage $stage and $((stage + 1)): not both there yet"; continue; }
  echo "+ diff <(strings stage$stage/bin/clang) <(strings stage$((stage + 1))/bin/clang) | wc"
  diff <(strings "$a") <(strings "$b") | wc
done
[ -x "$work/stage3/bin/clang" ] || exit 0
if cmp "$work/stage2/bin/clang" "$work/stage3/bin/clang"; then
  echo "       stage 2 = stage 3, bit for bit"
else
  echo " !     stage 2 and stage 3 differ" >&2
  exit 1
fi
