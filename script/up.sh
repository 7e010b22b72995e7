#!/bin/sh
# make up: from a bare machine to an app that answers. Run again, it repairs.
cd "$(dirname "$0")/.."
. script/lib.sh

step "Looking at the machine"
[ "$(uname -s)" = Linux ] || die "hoist runs on Linux."
need_packages $platform_packages
done_step
step "Getting Go"
need_go
done_step "$(go version | cut -d' ' -f3)"
step "Building hoist"
build
done_step "$(du -h bin/hoist | cut -f1), version $version"
step "Installing it"
target=/usr/local/bin/hoist
if cmp -s bin/hoist $target; then
    done_step "$target is the same already"
else
    as_root install -m 755 bin/hoist $target.new
    as_root mv $target.new $target
    done_step "$target"
fi
$target up --example examples/go
printf '\nAll done in %ds.\n' $(($(date +%s) - started))
