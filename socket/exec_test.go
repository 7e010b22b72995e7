package socket

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist"
)

// The sockets go where a process has its own file descriptors, also those that
// Go waits with: it needs them until the other program begins, or if it does not.
func TestExecLeavesGoItsFileDescriptors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var files []hoist.NamedFile
	for i := range 20 {
		f, err := File(l.(*net.TCPListener), fmt.Sprint("s", i))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, hoist.NamedFile{Name: f.Name(), File: f})
	}
	if os.Getenv("SOCKET_TEST_EXEC") != "" {
		t.Fatal(Exec("/bin/sh", []string{"sh", "-c", `echo $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/$$/fd/3 /proc/$$/fd/22`}, files))
	}

	if err := Exec("/nonexistent", nil, files); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}

	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "SOCKET_TEST_EXEC=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "20 s0:s1:") || strings.Count(string(out), "socket:[") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}
