package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hoist-sh/hoist/socket"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// Server is a PostgreSQL cluster of ours, started from the distribution's
// binaries and kept running.
type Server struct {
	Dir      string // data directory's parent; made if missing
	Port     int    // TCP port on 127.0.0.1; 0 picks a free one at each start
	Username string // unprivileged system user; default "postgres", or ourselves if not root
	Password string // of the superuser "postgres"
	Log      *slog.Logger
	Mortal   bool // it ends when this process is killed, as tests want it
	// Outside calls a function where what outlives this process is to be started;
	// nil for here.
	Outside func(start func() error) error

	cred *syscall.Credential
}

// programs is the directory of the server's programs: those of the cluster's own major
// version or, if there is no cluster yet, the newest. After an upgrade of the distribution there are two.
func (s *Server) programs() (string, error) {
	major, err := os.ReadFile(filepath.Join(s.dataDir(), "PG_VERSION"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int {
		return cmp.Compare(majorVersion(filepath.Base(filepath.Dir(b))), majorVersion(filepath.Base(filepath.Dir(a))))
	})
	return programsOf(strings.TrimSpace(string(major)), append(dirs, "/usr/pgsql/bin", "/usr/local/bin", "/usr/bin"))
}

func programsOf(major string, dirs []string) (string, error) {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if major == "" {
			return dir, nil
		}
		// postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		if words := strings.Fields(string(out)); err == nil && len(words) > 2 && majorVersion(words[2]) == majorVersion(major) {
			return dir, nil
		}
	}
	if major == "" {
		return "", errors.New("no PostgreSQL server found (apt-get install postgresql)")
	}
	return "", fmt.Errorf("the database was made by PostgreSQL %s, which is not installed any more (apt-get install postgresql-%s); to go to a newer one make a backup first and restore it", major, major)
}

// majorVersion is 15 of 15.14 and of 15beta1, and 0 of what is no version.
func majorVersion(version string) int {
	n := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		n = len(version)
	}
	major, _ := strconv.Atoi(version[:n])
	return major
}

// URL is the superuser's connection URL.
func (s *Server) URL() string { return s.RoleURL("postgres", s.Password) }

// RoleURL is the connection URL for a role.
func (s *Server) RoleURL(role, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: "/hoist"}
	return u.String()
}

func (s *Server) dataDir() string { return filepath.Join(s.Dir, "data") }

// Init makes the cluster if there is none. It is safe to run again and after
// having been stopped half-way.
func (s *Server) Init(ctx context.Context) error {
	if os.Geteuid() == 0 {
		name := s.Username
		if name == "" {
			name = "postgres"
		}
		u, err := user.Lookup(name)
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := s.takeDir(); err != nil {
		return err
	}
	if s.Port == 0 {
		var err error
		if s.Port, err = socket.FreePort(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(s.dataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	bin, err := s.programs()
	if err != nil {
		return err
	}
	return s.makeCluster(ctx, bin)
}

// Run starts the server, or takes over one that runs on the data directory
// already, and waits for it to end. When ctx ends the server is shut down
// unless the cause is ErrLeave. It goes on when this process is killed.
func (s *Server) Run(ctx context.Context) error {
	bin, err := s.programs()
	if err != nil {
		return err
	}
	if s.Mortal { // Pdeathsig is sent when the thread that forked ends, not the process
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	pid := s.running()
	if pid == 0 {
		s.endOrphans()
		if pid, err = s.start(bin); err != nil {
			return err
		}
	}
	err = s.follow(ctx, pid)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("postgres ended: %v; %s", err, s.why())
}

// start starts the server in a process group of its own. It outlives us: who
// comes after us takes it over.
func (s *Server) start(bin string) (pid int, err error) {
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", s.dataDir(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.Port),
		"-c", "unix_socket_directories=", "-c", "max_connections=200",
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on",
		"-c", "password_encryption=scram-sha-256", "-c", "shared_buffers=64MB",
		// Whoever provokes errors must not fill the log with what they sent.
		"-c", "log_min_messages=warning", "-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off",
		"-c", "timezone=UTC")
	cmd.Dir = s.Dir
	logw, err := newLog(s.logFile())
	if err != nil {
		return 0, err
	}
	defer logw.Close()
	cmd.Stdout, cmd.Stderr = logw, logw
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	if s.Mortal {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	}
	if err := s.launch(cmd); err != nil {
		return 0, err
	}
	defer cmd.Process.Release()
	return cmd.Process.Pid, nil
}

func (s *Server) launch(cmd *exec.Cmd) error {
	if s.Outside == nil {
		return cmd.Start()
	}
	return s.Outside(cmd.Start)
}

// Running reports whether a server of this data directory and port runs already.
func (s *Server) Running() bool { return s.running() != 0 }

// recorded is the process that postmaster.pid names, negative if it is one in single-user mode; 0 if there
// is none.
func (s *Server) recorded() int {
	text, _ := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// running is the process of a server of this data directory that runs already; 0 if
// there is none. The file postmaster.pid alone may be of before a power cut.
func (s *Server) running() int {
	pid := s.recorded()
	if pid <= 1 {
		return 0
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(args, []byte("\x00-D\x00"+s.dataDir()+"\x00")) ||
		!bytes.Contains(args, []byte("\x00port="+strconv.Itoa(s.Port)+"\x00")) {
		return 0
	}
	return pid
}

// ErrLeave as the cause of a context's end has Run leave the server running,
// for who comes after us.
var ErrLeave = errors.New("the server is left running")

const stopTime = 20 * time.Second // for a fast shutdown

// follow waits until the server has ended, and keeps its log within bounds. When ctx ends it is shut down.
func (s *Server) follow(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.await(fd, pid) }()
	look := time.NewTicker(logInterval)
	defer look.Stop()
	stop, kill := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case err := <-ended:
			unix.Close(fd) // not before: whom its number belongs to then would get our signal
			return err
		case <-look.C:
			if err := s.boundLog(); err != nil && s.Log != nil {
				s.Log.Warn("cannot shorten the log of postgres", "err", err)
			}
		case <-stop:
			if errors.Is(context.Cause(ctx), ErrLeave) {
				go func() { <-ended; unix.Close(fd) }()
				return nil
			}
			unix.PidfdSendSignal(fd, unix.SIGINT, nil, 0) // fast shutdown
			stop, kill = nil, time.After(stopTime)
		case <-kill:
			unix.PidfdSendSignal(fd, unix.SIGQUIT, nil, 0) // at once; it recovers when started again
		}
	}
}

// await waits for the end of a process, be it our child or not.
func (s *Server) await(fd, pid int) error {
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err == nil {
			break
		} else if err != unix.EINTR {
			return err
		}
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return errors.New("it is gone") // it was the child of another
	}
	return fmt.Errorf("exit status %d, signal %d", status.ExitStatus(), status.Signal())
}

// Stop shuts down a server that runs without anybody who follows it.
func (s *Server) Stop(ctx context.Context) error {
	pid := s.running()
	if pid == 0 {
		return nil
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if s.follow(stopped, pid); s.running() != 0 {
		return fmt.Errorf("postgres (process %d) does not end", pid)
	}
	return nil
}

// Ready waits until the server answers, then makes sure that the database
// "hoist" and the given roles exist with their passwords. hoist_api owns the
// database and so the schema.
func (s *Server) Ready(ctx context.Context, roles map[string]string) error {
	admin, _ := url.Parse(s.URL())
	admin.Path = "/postgres"
	var conn *pgx.Conn
	for {
		var err error
		if conn, err = pgx.Connect(ctx, admin.String()); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v", ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for role, password := range roles {
		verb := "CREATE"
		var n int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_roles WHERE rolname = $1`, role).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			verb = "ALTER"
		}
		var sql string
		if err := conn.QueryRow(ctx, `SELECT format($1 || ' ROLE %I LOGIN PASSWORD %L', $2::text, $3::text)`,
			verb, role, password).Scan(&sql); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	var n int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_database WHERE datname = 'hoist'`).Scan(&n); err != nil {
		return err
	}
	owner := "postgres"
	if _, ok := roles["hoist_api"]; ok {
		owner = "hoist_api"
	}
	if n == 0 {
		if _, err := conn.Exec(ctx, `CREATE DATABASE hoist OWNER `+pgx.Identifier{owner}.Sanitize()); err != nil {
			return err
		}
	}
	// The rest each time: the start that made the database may have been killed here, and a later
	// version may have other roles.
	if _, err := conn.Exec(ctx, `REVOKE ALL ON DATABASE hoist FROM PUBLIC`); err != nil {
		return err
	}
	for role := range roles {
		if _, err := conn.Exec(ctx, `GRANT CONNECT ON DATABASE hoist TO `+pgx.Identifier{role}.Sanitize()); err != nil {
			return err
		}
	}
	hoistDB, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	defer hoistDB.Close(context.WithoutCancel(ctx))
	if _, err := hoistDB.Exec(ctx, `ALTER SCHEMA public OWNER TO `+pgx.Identifier{owner}.Sanitize()); err != nil {
		return err
	}
	// PostgreSQL 13 and 14 let everybody make tables.
	_, err = hoistDB.Exec(ctx, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	return err
}
