package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// gate is where a container's first process waits until its network is there. It
// says that it has come, which tells its pid before the runtime does,
// since that still has to tidy up. If we die the process sees the end and goes.
type gate struct {
	ours   *net.UnixConn
	theirs *os.File // for the process
	letter *os.File // what it does behind the gate, written before that opens; in memory
}

// passGate is the process's side, in bash. The gate and the letter are the last of the
// files that it is handed.
func passGate(g *hoist.Grants) string {
	letter := letterFile(g)
	return fmt.Sprintf("echo >&%[1]d; read -ru %[1]d || exit; exec %[1]d<&-; . /proc/self/fd/%[2]d", letter-1, letter)
}

// letterFile is the letter's descriptor in the process.
func letterFile(g *hoist.Grants) int { return 3 + len(grantedFiles(g)) + 1 }

func newGate() (*gate, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("oci: socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "gate"), os.NewFile(uintptr(fds[1]), "gate")
	defer ours.Close()
	memory, err := unix.MemfdCreate("letter", unix.MFD_CLOEXEC)
	if err != nil {
		theirs.Close()
		return nil, fmt.Errorf("oci: memfd: %w", err)
	}
	letter := os.NewFile(uintptr(memory), "letter")
	err = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		var conn net.Conn
		if conn, err = net.FileConn(ours); err == nil {
			return &gate{ours: conn.(*net.UnixConn), theirs: theirs, letter: letter}, nil
		}
	}
	theirs.Close()
	letter.Close()
	return nil, fmt.Errorf("oci: socketpair: %w", err)
}

// arrival waits for the process and returns its pid. It fails when nobody can
// come any more, for which theirs must have been closed.
func (g *gate) arrival(ctx context.Context) (int, error) {
	stop := context.AfterFunc(ctx, func() { g.ours.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	data, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, oobn, _, _, err := g.ours.ReadMsgUnix(data, oob)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil || n == 0 {
		return 0, errors.New("oci: the container ended before its command began")
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return 0, errors.New("oci: the container did not say who it is")
	}
	who, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		return 0, fmt.Errorf("oci: the container did not say who it is: %w", err)
	}
	return int(who.Pid), nil
}

// open hands over the letter and lets the process go on.
func (g *gate) open(letter string) error {
	if _, err := g.letter.WriteString(letter); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if _, err := g.ours.Write([]byte("\n")); err != nil {
		return fmt.Errorf("oci: the container ended before its command began: %w", err)
	}
	return nil
}

func (g *gate) close() {
	g.ours.Close()
	g.theirs.Close()
	g.letter.Close()
}
