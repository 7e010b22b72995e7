package oci

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// systemd-networkd takes away the addresses and routes of an interface that one of the machine's files matches, by its type
// say. A file of ours goes before those and has it leave dynos' interfaces alone (systemd.network(5), "Unmanaged").

const networkdFile = `# Written by hoist: these are the interfaces of its dynos.
[Match]
Name=h[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-*
Kind=veth

[Link]
Unmanaged=yes
`

func networkdPath(prefix netip.Prefix) string {
	return "/run/systemd/network/05-hoist-" + strings.ReplaceAll(prefix.String(), "/", "-") + ".network"
}

// keepFromNetworkd writes the file, if networkd runs here and does not have it yet.
func keepFromNetworkd(prefix netip.Prefix) error {
	if !runsNetworkd() {
		return nil
	}
	path := networkdPath(prefix)
	if text, err := os.ReadFile(path); err == nil && string(text) == networkdFile {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("oci: systemd-networkd: %w", err)
	}
	if err := os.WriteFile(path, []byte(networkdFile), 0o644); err != nil {
		return fmt.Errorf("oci: systemd-networkd: %w", err)
	}
	return reloadNetworkd()
}

// leaveToNetworkd undoes keepFromNetworkd.
func leaveToNetworkd(prefix netip.Prefix) error {
	err := os.Remove(networkdPath(prefix))
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("oci: systemd-networkd: %w", err)
	}
	return reloadNetworkd()
}

func runsNetworkd() bool {
	_, err := os.Stat("/run/systemd/netif/state")
	return err == nil
}

func reloadNetworkd() error {
	if !runsNetworkd() {
		return nil
	}
	if out, err := exec.Command("networkctl", "reload").CombinedOutput(); err != nil {
		return fmt.Errorf("oci: systemd-networkd: networkctl reload: %w: %s", err, out)
	}
	return nil
}
