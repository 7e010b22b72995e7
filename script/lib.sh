# Shared by the scripts here; they source it from the repository's root.
set -eu

# The same flags everywhere, so that everything is compiled once.
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
# Distributions' Go may not fetch the version that go.mod asks for unless told to.
export GOTOOLCHAIN="${GOTOOLCHAIN:-auto}"
PATH=$PATH:/usr/sbin:/sbin # root's commands, where sudo or su left them out

started=$(date +%s)

# step TEXT begins a step, done_step ends it with its time.
step() { printf -- '-----> %s\n' "$1"; step_began=$(date +%s); }
done_step() { printf '       %s (%ds)\n' "${1:-done}" $(($(date +%s) - step_began)); }
die() { printf ' !    %s\n' "$@" >&2; exit 1; }

# settings names the settings that are in the environment, with commas between them.
settings() { env | sed -n 's/^\(HOIST_[A-Za-z0-9_]*\|DATABASE_URL\|NATS_URL\|BLOB_URL\|PREFIX\)=.*/\1/p' | paste -sd, -; }

# as_root CMD… runs a command as root, with the settings.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        kept=$(settings)
        sudo ${kept:+"--preserve-env=$kept"} "$@"
    else
        die "This needs root: run it as root, or install sudo."
    fi
}

# need WORD… installs Debian packages that are missing. A word is a package, or
# COMMAND:PACKAGE: then the command is enough, wherever it is from.
need() {
    missing=
    for word in "$@"; do
        package=${word#*:}
        case $word in *:*) ! command -v "${word%%:*}" >/dev/null || continue ;; esac
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "These packages are missing:$missing" "Install them, then run this again (apt-get is not there to do it)."
    printf '       installing%s\n' "$missing"
    case $missing in *postgresql*)
        # The cluster is ours; the distribution need not start one of its own.
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            as_root mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/hoist.conf >/dev/null
        fi ;;
    esac
    as_root true # here a password is asked for, if it is
    said=$(mktemp)
    (
        while sleep 10 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            sed -n 's/^[a-z]*status:.*:\([0-9]*\)\.[0-9]*:\(.*\)/       \1%: \2/p' "$said" | tail -n 1
        done
    ) &
    watcher=$!
    installed=
    as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get -qq update && apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Status-Fd=1 install $missing" </dev/null >"$said" 2>&1 && installed=1
    kill $watcher
    if [ -z "$installed" ]; then
        grep -v '^[a-z]*status:' "$said" | tail -n 20 >&2
        rm -f "$said"
        die "The packages$missing could not be installed."
    fi
    rm -f "$said"
}

# need_go makes `go` the toolchain that go.mod asks for. Since 1.21 Go gets
# that itself; an older one fetches it here, as the module it comes in.
need_go() {
    want=$(sed -n 's/^go //p' go.mod)
    PATH=$PATH:/usr/local/go/bin
    command -v go >/dev/null || need golang-go
    minor=$(GOTOOLCHAIN=local go version | sed -n 's/.* go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge 21 ]; then
        go version >/dev/null || die "Go $want cannot be fetched; is the module proxy reachable (go env GOPROXY)?"
        return 0
    fi
    module="golang.org/toolchain@v0.0.1-go$want.linux-$(go env GOARCH)"
    root=$(go env GOMODCACHE)/$module
    if [ ! -x "$root/bin/go" ]; then
        printf '       getting Go %s (about 70 MB), as %s is too old\n' "$want" "$(go version | cut -d' ' -f3)"
        dir=$(mktemp -d)
        (cd "$dir" && GOFLAGS= go mod init x >/dev/null 2>&1 && GOFLAGS= go mod download "$module") || die "Go $want cannot be fetched; is the module proxy reachable (go env GOPROXY)?"
        rm -rf "$dir"
        chmod -R u+w "$root" && chmod +x "$root"/bin/* "$root"/pkg/tool/*/* # modules have no modes
    fi
    export GOROOT="$root" GOTOOLCHAIN=local PATH="$root/bin:$PATH"
}

# compile FILE [FLAG] makes the program of the source in this directory: the same, bit for
# bit, for the same source and Go, and the same as the Go buildpack makes on
# the platform (docs/bootstrap.md).
compile() { CGO_ENABLED=0 GOFLAGS="${2-}" GOWORK=off go build -trimpath -buildvcs=false -ldflags "-s -w" -tags heroku -o "$1" ./cmd/hoist; }

# build makes bin/hoist.
build() {
    [ -d "$(go env GOCACHE)" ] || echo "       compiling it and what it is made of: a few minutes, this first time"
    compile bin/hoist
    version=$(sha256sum bin/hoist | cut -c1-12)
}

# build_mirrors has builds use the mirrors that this machine uses (of Go modules
# and npm packages), unless it uses the defaults, or is told otherwise.
build_mirrors() {
    for name in GOPROXY GOSUMDB GONOSUMDB GONOPROXY GOPRIVATE GOINSECURE; do
        if [ -n "$(go env -changed $name)" ] && ! printenv "HOIST_BUILD_ENV_$name" >/dev/null; then
            export "HOIST_BUILD_ENV_$name=$(go env $name)"
        fi
    done
    command -v npm >/dev/null || return 0
    mirror=$(npm config get registry 2>/dev/null)
    usual=$(env -i PATH="$PATH" HOME=/nonexistent npm config get registry --globalconfig=/nonexistent 2>/dev/null)
    if [ "$mirror" != "$usual" ] && [ -z "${HOIST_BUILD_ENV_npm_config_registry-}" ]; then
        export "HOIST_BUILD_ENV_npm_config_registry=$mirror"
    fi
}

# what a machine needs that runs the platform, and what its tests need.
platform_needs="git:git curl:curl ca-certificates crun:crun mksquashfs:squashfs-tools mkfs.ext4:e2fsprogs postgresql ssh:openssh-client node:nodejs npm:npm"
test_needs="runc:runc ip:iproute2 nft:nftables ps:procps nginx:nginx-light gcc:gcc libc6-dev dpkg-source:dpkg-dev"
