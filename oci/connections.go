package oci

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
)

// Connections counts the TCP connections that others have to a port of a container with a network of its own.
func (e *Engine) Connections(_ context.Context, id hoist.ID, port int) (int, error) {
	c, err := e.container(id)
	if err != nil || c.ended() || !c.IP.IsValid() {
		return 0, err
	}
	n, err := socket.Connections(c.Pid, netip.AddrPortFrom(c.IP, uint16(port)))
	if errors.Is(err, fs.ErrNotExist) { // it has ended meanwhile
		return 0, nil
	}
	return n, err
}
