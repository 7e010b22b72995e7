#!/bin/sh
# as-root.sh CMD…: with sudo if need be; hoist from the path if not built here.
cd "$(dirname "$0")/.."
. script/lib.sh
if [ "$1" = bin/hoist ] && [ ! -x bin/hoist ]; then
    shift
    set -- hoist "$@"
fi
as_root "$@"
