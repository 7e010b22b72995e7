package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
	"github.com/spf13/cobra"
)

// dynoHost is a platform on which only `run` works: a command runs in bash on
// this machine, met over real TLS at the rendezvous port.
type dynoHost struct {
	t        *testing.T
	listener net.Listener
	refuse   error
	mu       sync.Mutex
	body     struct {
		Command    string            `json:"command"`
		Env        map[string]string `json:"env"`
		ForceNoTTY bool              `json:"force_no_tty"`
	}
	exit *int
}

// newDynoHost starts the host, and logs a home directory in to it with its
// own certificate authority.
func newDynoHost(t *testing.T) (h *dynoHost, home string) {
	h = &dynoHost{t: t}
	api := httptest.NewUnstartedServer(h)
	api.Config.ErrorLog = log.New(io.Discard, "", 0)
	api.StartTLS()
	t.Cleanup(api.Close)
	var err error
	if h.listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: api.TLS.Certificates}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.listener.Close() })
	go func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	home = t.TempDir()
	ca := filepath.Join(home, "ca.pem")
	os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600)
	c := &CLI{In: strings.NewReader(""), Out: io.Discard, Err: t.Output(), Env: envOf(home), Now: time.Now}
	root := &cobra.Command{Use: "hoist"}
	root.AddCommand(c.Commands()...)
	if code := c.Execute(t.Context(), root, []string{"login", "--host", api.URL, "--token", "t"}); code != 1 {
		t.Fatal("trusts anybody")
	}
	if code := c.Execute(t.Context(), root, []string{"login", "--host", api.URL, "--token", "t", "--ca", ca}); code != 0 {
		t.Fatal("cannot log in")
	}
	return h, home
}

func envOf(home string) func(string) string {
	env := map[string]string{"HOME": home, "HOIST_APP": "demo", "TERM": "xterm-256color"}
	return func(name string) string { return env[name] }
}

func (h *dynoHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := map[string]any{"id": "0", "name": "run.13", "state": "up"}
	if r.Method == "POST" && r.URL.Path == "/apps/demo/dynos" {
		json.NewDecoder(r.Body).Decode(&h.body)
		d["attach_url"] = fmt.Sprintf("rendezvous://%s/secret", h.listener.Addr())
	}
	if h.exit != nil {
		d["exit_code"], d["state"] = *h.exit, "down"
	}
	json.NewEncoder(w).Encode(d)
}

func (h *dynoHost) serve(conn net.Conn) {
	defer conn.Close()
	if rendezvous.Accept(conn, func(string) error { return h.refuse }) != nil {
		return
	}
	h.mu.Lock()
	cmd := exec.Command("bash", "-c", h.body.Command)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for name, value := range h.body.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	tty := !h.body.ForceNoTTY
	h.mu.Unlock()
	var in io.WriteCloser
	var outputs sync.WaitGroup
	if tty {
		f, err := pty.Start(cmd)
		if err != nil {
			h.t.Error(err)
			return
		}
		in = f
		outputs.Go(func() { io.Copy(conn, f) })
	} else {
		out, _ := cmd.StdoutPipe()
		in, _ = cmd.StdinPipe()
		if err := cmd.Start(); err != nil {
			h.t.Error(err)
			return
		}
		outputs.Go(func() { io.Copy(conn, out) })
	}
	go func() {
		for buf := make([]byte, 32<<10); ; {
			n, err := conn.Read(buf)
			data := buf[:n]
			if !tty && n > 0 && data[n-1] == rendezvous.EOT {
				in.Write(data[:n-1])
				in.Close()
				continue
			}
			in.Write(data)
			if err != nil {
				cmd.Process.Kill()
				return
			}
		}
	}()
	outputs.Wait()
	cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	h.mu.Lock()
	h.exit = &code
	h.mu.Unlock()
}

func run(ctx context.Context, home string, in io.Reader, out, errs io.Writer, args ...string) int {
	c := &CLI{In: in, Out: out, Err: errs, Env: envOf(home), Now: time.Now}
	root := &cobra.Command{Use: "hoist"}
	root.AddCommand(c.Commands()...)
	return c.Execute(ctx, root, append([]string{"run"}, args...))
}

func TestRunThroughAPipe(t *testing.T) {
	h, home := newDynoHost(t)
	for _, c := range []struct {
		in   string
		args []string
		out  string
		code int
	}{
		{"", []string{"echo", "hello", "world"}, "hello world\n", 0},
		{"b\na\n", []string{"sort"}, "a\nb\n", 0},
		{strings.Repeat("0123456789\n", 100_000), []string{"wc -c; exit 7"}, "1100000\n", 7},
		{"", []string{"ls", "-a", "/nowhere/at/all"}, "", 2},
		{"", []string{"-e", "A=b c", "--", "echo $A"}, "b c\n", 0},
		{"", []string{"detached"}, "", 127}, // is a command of the app's, not run:detached
	} {
		h.exit = nil
		var out, errs bytes.Buffer
		code := run(t.Context(), home, strings.NewReader(c.in), &out, &errs, c.args...)
		if code != c.code || out.String() != c.out {
			t.Errorf("%v: %d %q %q", c.args, code, out.String(), errs.String())
		}
		if want := "Running " + h.body.Command + " attached to terminal... up, run.13\n"; errs.String() != want {
			t.Errorf("said %q, want %q", errs.String(), want)
		}
	}
}

func TestRunInATerminal(t *testing.T) {
	h, home := newDynoHost(t)
	person, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	defer tty.Close()
	pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 123})
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		done <- run(t.Context(), home, tty, tty, &errs,
			`trap 'echo interrupted; exit 42' INT; test -t 0 && echo "$TERM $COLUMNS $LINES ready"; read x; echo "got $x"; while :; do sleep 0.1; done`)
	}()
	seen := ""
	expect := func(what string) {
		t.Helper()
		person.SetReadDeadline(time.Now().Add(20 * time.Second))
		for buf := make([]byte, 1000); !strings.Contains(seen, what); {
			n, err := person.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q, waiting for %q (%s)", err, seen, what, errs.String())
			}
			seen += string(buf[:n])
		}
	}
	expect("xterm-256color 123 40 ready\r\n")
	io.WriteString(person, "hello\r")
	expect("got hello\r\n")
	person.Write([]byte{3}) // ^C
	expect("interrupted\r\n")
	select {
	case code := <-done:
		if code != 42 {
			t.Error("exit code", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
	if h.body.ForceNoTTY {
		t.Error("asked for no terminal")
	}
}

func TestRunSaysWhyItCannot(t *testing.T) {
	h, home := newDynoHost(t)
	h.refuse = &hoist.Error{ID: "x", Message: "run.13 needs more memory than there is."}
	var errs bytes.Buffer
	code := run(t.Context(), home, strings.NewReader(""), io.Discard, &errs, "bash")
	if want := "Running bash attached to terminal... !\n !    run.13 needs more memory than there is.\n"; code != 1 || errs.String() != want {
		t.Errorf("%d %q", code, errs.String())
	}
}

func TestRunEndsWhenInterruptedFromOutside(t *testing.T) {
	_, home := newDynoHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	out, reached := io.Pipe()
	done := make(chan int, 1)
	go func() { done <- run(ctx, home, r, reached, io.Discard, "echo up; sleep 100") }()
	if _, err := out.Read(make([]byte, 10)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	cancel()
	select {
	case code := <-done:
		if code != int(interrupted) {
			t.Error(code)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not end")
	}
}
