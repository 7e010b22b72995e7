#!/bin/sh
# make up: from a bare machine to an app that answers. Run again, it repairs.
cd "$(dirname "$0")/.."
. script/lib.sh

# After `sudo make up` the login, the key and the sample app belong to whoever
# typed it: go on as that person, who is asked for no password again.
if [ "$(id -u)" = 0 ] && [ "${SUDO_USER:-root}" != root ] && sudo -Hu "$SUDO_USER" sudo -n true 2>/dev/null; then
    exec sudo -Hu "$SUDO_USER" --preserve-env="$(settings)" script/up.sh
fi

step "Looking at the machine"
[ "$(uname -s)" = Linux ] || die "hoist runs on Linux."
[ "$(printf '5.12\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 5.12 ] || die "hoist needs Linux 5.12 or newer; this is $(uname -r)."
need $platform_needs
done_step
step "Getting Go"
need_go
done_step "$(go version | cut -d' ' -f3)"
step "Building hoist"
build
done_step "$(du -h bin/hoist | cut -f1), version $version"
step "Installing it"
target=${PREFIX:-/usr/local}/bin/hoist
if cmp -s bin/hoist "$target"; then
    done_step "$target is the same already"
else
    as_root install -D -m 755 bin/hoist "$target.new"
    as_root mv "$target.new" "$target"
    done_step "$target"
fi
build_mirrors
"$target" up --example examples/go
# From here on a whole platform runs; the rest moves it onto itself.
as_root env GOMODCACHE="$(go env GOMODCACHE)" "$target" bootstrap --source .
printf '\nAll done in %ds. Run it again to repair; make down stops it.\n' $(($(date +%s) - started))
