#!/bin/sh
# machine.sh SUITE [CMD…]: a fresh virtual machine of Debian (bookworm, trixie, …) with its
# own kernel, systemd and a person with sudo, ann, to try hoist in; then CMD as her.
#
# What it is made of stays in build/machines/SUITE: remove disk and the next one is fresh.
# Kill qemu (pid) and it is a power cut. Mirrors and certificates are this host's.
# Needs root. Without KVM it is emulated, ten times slower on an idle host; on a busy one time limits run out.
cd "$(dirname "$0")/.."
. script/lib.sh
[ "$(id -u)" = 0 ] || die "This needs root."
suite=${1:?usage: script/machine.sh SUITE [CMD…]}
shift
dir=build/machines/$suite
port=${HOIST_MACHINE_PORT:-$((20000 + $(printf %s "$suite" | cksum | cut -d' ' -f1) % 10000))}
mkdir -p "$dir"

# in_machine CMD… runs it there, with a terminal if there is one here.
in_machine() {
    tty=-T
    [ ! -t 0 ] || tty=-t
    ssh $tty -q -i "$dir/key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 ann@127.0.0.1 "$@"
}

make_disk() {
    step "Making a disk with $suite"
    need mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs ssh-keygen:openssh-client
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Component: main' 'Origin: Debian' | head -n 1)
    rm -rf "$dir/root" "$dir/key" "$dir/key.pub"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
    mmdebstrap --quiet --variant=important --include=linux-image-amd64,systemd-sysv,dbus,libpam-systemd,apparmor,sudo,openssh-server "$suite" "$dir/root" "$mirror"
    echo "$suite" >"$dir/root/etc/hostname"
    echo "127.0.0.1 localhost $suite" >"$dir/root/etc/hosts"
    echo "/dev/vda / ext4 defaults 0 1" >"$dir/root/etc/fstab"
    printf '[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n' >"$dir/root/etc/systemd/network/machine.network"
    echo "nameserver 10.0.2.3" >"$dir/root/etc/resolv.conf" # qemu's
    mkdir -p "$dir/root/usr/local/share/ca-certificates"
    cp /usr/local/share/ca-certificates/*.crt "$dir/root/usr/local/share/ca-certificates/" 2>/dev/null || true
    apt-config dump Acquire | grep -i proxy >"$dir/root/etc/apt/apt.conf.d/machine" || true
    chroot "$dir/root" sh -c 'systemctl -q enable systemd-networkd && useradd -m -s /bin/bash -G sudo,adm ann && install -d -o ann -g ann -m 700 /home/ann/.ssh /home/ann/.config /home/ann/.config/go'
    echo "ann ALL=(ALL) NOPASSWD: ALL" >"$dir/root/etc/sudoers.d/ann"
    cp "$dir/key.pub" "$dir/root/home/ann/.ssh/authorized_keys"
    go env -changed | tr -d "'" | grep -E '^GO(PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE)=' >"$dir/root/home/ann/.config/go/env" || true
    ! command -v npm >/dev/null || echo "registry=$(npm config get registry)" >"$dir/root/home/ann/.npmrc"
    cp "$dir"/root/boot/vmlinuz-* "$dir/kernel"
    cp "$dir"/root/boot/initrd.img-* "$dir/initrd"
    truncate -s 20G "$dir/disk.new"
    mkfs.ext4 -q -d "$dir/root" "$dir/disk.new"
    rm -rf "$dir/root"
    mv "$dir/disk.new" "$dir/disk"
    done_step
}

boot() {
    step "Starting it"
    need qemu-system-x86_64:qemu-system-x86
    # An emulated processor is the faster the less it promises.
    accel="-accel tcg,thread=multi -cpu Nehalem"
    ! grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo || [ ! -w /dev/kvm ] || accel="-accel kvm -cpu host"
    nice -n 10 qemu-system-x86_64 $accel -smp 2 -m "${HOIST_MACHINE_MEMORY:-4G}" -display none -daemonize -pidfile "$dir/pid" -serial "file:$dir/console" \
        -kernel "$dir/kernel" -initrd "$dir/initrd" -append "root=/dev/vda rw console=ttyS0 mitigations=off" \
        -drive "file=$dir/disk,format=raw,if=virtio,cache=unsafe,discard=unmap" -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$port-:22"
    until in_machine true </dev/null; do
        kill -0 "$(cat "$dir/pid")" || die "It ended; see $dir/console."
        sleep 1
    done
    done_step
}

[ -e "$dir/disk" ] || make_disk
kill -0 "$(cat "$dir/pid" 2>/dev/null)" 2>/dev/null || boot
if [ $# -gt 0 ]; then
    in_machine "$@"
    exit
fi
git bundle create - HEAD "$(git branch --show-current)" 2>/dev/null | in_machine 'cat >hoist.bundle'
cat <<END
In the machine (script/machine.sh $suite bash):
  sudo apt-get update && sudo apt-get install -y git make
  git clone hoist.bundle hoist && cd hoist && make up
A power cut: kill $(cat "$dir/pid")
END
