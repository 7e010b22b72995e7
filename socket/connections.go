package socket

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// established is TCP_ESTABLISHED, as /proc writes it (include/net/tcp_states.h).
const established = "01"

// Connections counts the TCP connections that others have to an address in the network namespace of a
// process (proc_pid_net(5)). One whose other end is closed is none any more, however long the process keeps it.
func Connections(pid int, to netip.AddrPort) (n int, err error) {
	for _, name := range []string{"tcp", "tcp6"} { // a socket of IPv6 takes IPv4, too
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if name == "tcp6" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local_address rem_address st …
			fields := strings.Fields(lines.Text())
			if len(fields) < 4 || fields[3] != established {
				continue
			}
			local, err := procAddr(fields[1])
			if err != nil {
				return 0, err
			}
			remote, err := procAddr(fields[2])
			if err != nil {
				return 0, err
			}
			if local == to && remote.Addr() != to.Addr() {
				n++
			}
		}
		if err := lines.Err(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// procAddr reads an address as /proc has it: 32-bit words as this machine has them in memory, and a port.
func procAddr(text string) (netip.AddrPort, error) {
	words, port, _ := strings.Cut(text, ":")
	var b []byte
	for len(words) >= 8 {
		word, err := strconv.ParseUint(words[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(word))
		words = words[8:]
	}
	ip, ok := netip.AddrFromSlice(b)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address and port", text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), nil
}
