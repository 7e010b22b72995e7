# Shared by the scripts here; they source it from the repository's root.
set -eu

started=$(date +%s)

# step TEXT begins a step, done_step ends it with its time.
step() { printf -- '-----> %s\n' "$1"; step_began=$(date +%s); }
done_step() { printf '       %s (%ds)\n' "${1:-done}" $(($(date +%s) - step_began)); }
die() { printf ' !    %s\n' "$@" >&2; exit 1; }

# as_root CMD… runs a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "This needs root: run it as root, or install sudo."
    fi
}

# need_packages PACKAGE… installs Debian packages that are missing.
need_packages() {
    missing=
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
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
    as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get -qq update && apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing" </dev/null >/tmp/hoist-apt.$$ 2>&1 || {
        tail -n 20 /tmp/hoist-apt.$$ >&2
        rm -f /tmp/hoist-apt.$$
        die "The packages$missing could not be installed."
    }
    rm -f /tmp/hoist-apt.$$
}

# need_go makes `go` the toolchain that go.mod asks for. Since 1.21 Go gets
# that itself; an older one fetches it here, as the module it comes in.
need_go() {
    want=$(sed -n 's/^go //p' go.mod)
    case ${PATH} in */usr/local/go/bin*) ;; *) PATH=$PATH:/usr/local/go/bin ;; esac
    command -v go >/dev/null || need_packages golang-go
    minor=$(go version | sed -n 's/.* go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge 21 ]; then
        go version >/dev/null || die "Go $want cannot be fetched; is the module proxy reachable (go env GOPROXY)?"
        return 0
    fi
    module="golang.org/toolchain@v0.0.1-go$want.linux-$(go env GOARCH)"
    printf '       getting Go %s (about 70 MB)\n' "$want"
    dir=$(mktemp -d)
    (cd "$dir" && go mod init x >/dev/null 2>&1 && go mod download "$module") || die "Go $want cannot be fetched; is the module proxy reachable (go env GOPROXY)?"
    rm -rf "$dir"
    root=$(go env GOMODCACHE)/$module
    chmod -R u+w "$root" && chmod +x "$root"/bin/* "$root"/pkg/tool/*/* # modules have no modes
    export GOROOT="$root" GOTOOLCHAIN=local PATH="$root/bin:$PATH"
}

# build makes bin/hoist: the same, bit for bit, for the same source and Go, and
# the same as the Go buildpack makes on the platform (docs/bootstrap.md).
build() {
    CGO_ENABLED=0 GOFLAGS= GOWORK=off go build -trimpath -buildvcs=false -ldflags "-s -w" -tags heroku -o bin/hoist ./cmd/hoist
    version=$(sha256sum bin/hoist | cut -c1-12)
}

# packages of a machine that runs the platform.
platform_packages="git curl ca-certificates crun squashfs-tools postgresql nftables openssh-client nodejs npm"
