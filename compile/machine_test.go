package compile_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack"
	"github.com/hoist-sh/hoist/buildpack/slug"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/rendezvous"
)

// The test binary is also the build dyno's hoist-compile.
func TestMain(m *testing.M) {
	if os.Getenv("HOIST_TEST_DYNO") == "" {
		os.Exit(m.Run())
	}
	err := slug.Job{Getenv: os.Getenv, Environ: os.Environ(), Out: buildpack.NewOutput(os.Stdout)}.Run(context.Background())
	var e *slug.Error
	if errors.As(err, &e) {
		os.Stdout.WriteString("\n !     " + err.Error() + "\n\n")
		os.Exit(int(e.Phase))
	}
}

// machine stands in for a runtime: it takes build dynos and runs hoist-compile
// as a process of the host, with the rendezvous protocol before it.
type machine struct {
	t        *testing.T
	db       *postgres.DB // with the role of runtime
	bus      hoist.Bus
	id       hoist.ID
	listener net.Listener
	ctx      context.Context
	reason   string // of dynos that end

	mu    sync.Mutex
	dynos map[hoist.ID]*exec.Cmd
	wg    sync.WaitGroup
	stop  context.CancelFunc
}

func newMachine(t *testing.T, db *postgres.DB, bus hoist.Bus) *machine {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &machine{t: t, db: db, bus: bus, id: hoist.NewID(), listener: l, ctx: ctx, stop: cancel, dynos: map[hoist.ID]*exec.Cmd{}}
	_, err = db.Pool.Exec(ctx, `INSERT INTO workers (id, address, memory) VALUES ($1, $2, 1)`, m.id, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	m.wg.Go(m.take)
	m.wg.Go(m.accept)
	t.Cleanup(m.halt)
	return m
}

// halt kills all dynos.
func (m *machine) halt() {
	m.stop()
	m.listener.Close()
	m.mu.Lock()
	for _, cmd := range m.dynos {
		kill(cmd)
	}
	m.mu.Unlock()
	m.wg.Wait()
}

func kill(cmd *exec.Cmd) {
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

// take places dynos and ends those that are not wanted.
func (m *machine) take() {
	for m.ctx.Err() == nil {
		m.db.Pool.Exec(m.ctx, `UPDATE dynos SET worker_id = $1 WHERE worker_id IS NULL AND state <> 'down' AND want = 'up'`, m.id)
		rows, err := m.db.Pool.Query(m.ctx, `SELECT id::text FROM dynos WHERE worker_id = $1 AND want = 'down' AND state <> 'down'`, m.id)
		if err == nil {
			for rows.Next() {
				var id hoist.ID
				rows.Scan(&id)
				m.mu.Lock()
				if cmd := m.dynos[id]; cmd != nil {
					kill(cmd)
				} else {
					m.wg.Go(func() { m.ended(id, -1, "never started") })
				}
				m.mu.Unlock()
			}
			rows.Close()
		}
		select {
		case <-m.ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *machine) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.wg.Go(func() { m.attach(conn) })
	}
}

func (m *machine) attach(conn net.Conn) {
	defer conn.Close()
	var id hoist.ID
	var env map[string]string
	err := rendezvous.Accept(conn, func(secret string) error {
		hash := sha256.Sum256([]byte(secret))
		return m.db.Pool.QueryRow(m.ctx, `SELECT id, env FROM dynos WHERE secret_hash = $1 AND worker_id = $2`, hash[:], m.id).Scan(&id, &env)
	})
	if err != nil {
		return
	}
	tmp := m.t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"HOIST_TEST_DYNO=1", "PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, "DYNO=build.1"}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	m.mu.Lock()
	m.dynos[id] = cmd
	err = cmd.Start()
	m.mu.Unlock()
	if err != nil {
		m.t.Error(err)
		return
	}
	go func() { // the client going away hangs the dyno up
		io.Copy(io.Discard, conn)
		kill(cmd)
	}()
	done := make(chan struct{})
	go func() { io.Copy(conn, r); close(done) }()
	cmd.Wait()
	w.Close()
	<-done
	code := cmd.ProcessState.ExitCode()
	if code < 0 {
		code = 137
	}
	if m.ctx.Err() == nil {
		m.ended(id, code, m.reason)
	}
}

func (m *machine) ended(id hoist.ID, code int, reason string) {
	m.db.Pool.Exec(m.ctx, `UPDATE dynos SET state = 'down', exit_code = $2, reason = $3 WHERE id = $1 AND state <> 'down'`, id, code, reason)
}
