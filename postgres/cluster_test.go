package postgres

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// started is a server in a directory of the test's own, ended with the test. before is called
// with the directory before there is a cluster.
func started(t *testing.T, before func(dir string)) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hoist-pg")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o711)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir + "/pg", Password: "se cret", Mortal: true}
	if before != nil {
		before(s.Dir)
	}
	if err := s.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return s
}

func (s *Server) ready(t *testing.T, roles ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	passwords := map[string]string{}
	for _, r := range roles {
		passwords[r] = "test"
	}
	if err := s.Ready(ctx, passwords); err != nil {
		t.Fatal(err)
	}
}

// Who has the server's user must not have us, who are root, write files of others.
func TestOnlyTheDataIsTheServers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	others := filepath.Join(t.TempDir(), "others")
	if err := os.WriteFile(others, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := started(t, func(dir string) { // as earlier versions left it
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		err = errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, uid, gid),
			os.Symlink(others, filepath.Join(dir, "postgres.log")), os.Symlink(others, filepath.Join(dir, "pw")),
			os.Symlink(filepath.Dir(others), filepath.Join(dir, "init")))
		if err != nil {
			t.Fatal(err)
		}
	})
	s.ready(t)
	if text, err := os.ReadFile(others); err != nil || string(text) != "precious" {
		t.Errorf("a file of others is now %q, %v", text, err)
	}
	for name, want := range map[string]struct {
		mode os.FileMode
		uid  uint32
	}{
		"":             {os.ModeDir | 0o711, 0},
		"postgres.log": {0o600, 0},
		"data":         {os.ModeDir | 0o700, s.cred.Uid},
	} {
		st, err := os.Lstat(filepath.Join(s.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if uid := st.Sys().(*syscall.Stat_t).Uid; st.Mode() != want.mode || uid != want.uid {
			t.Errorf("%q is %v of user %d, want %v of %d", name, st.Mode(), uid, want.mode, want.uid)
		}
	}
}

// A start that was killed after it had made the database, and a version with one component more.
func TestRolesMayConnectHoweverTheDatabaseCameToBe(t *testing.T) {
	s := started(t, nil)
	s.ready(t, "hoist_api")
	ctx := t.Context()
	admin, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	_, err = admin.Exec(ctx, `REVOKE CONNECT ON DATABASE hoist FROM hoist_api; GRANT CONNECT ON DATABASE hoist TO PUBLIC;
		ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE stranger LOGIN PASSWORD 'test'`)
	if err != nil {
		t.Fatal(err)
	}
	s.ready(t, "hoist_api", "hoist_new")
	for role, allowed := range map[string]bool{"hoist_api": true, "hoist_new": true, "stranger": false} {
		conn, err := pgx.Connect(ctx, s.RoleURL(role, "test"))
		if (err == nil) != allowed {
			t.Errorf("%s: %v", role, err)
		}
		if err != nil {
			continue
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(ctx, `CREATE TABLE mine (x integer)`); (err == nil) != (role == "hoist_api") {
			t.Errorf("%s makes a table: %v", role, err)
		}
	}
}

func TestTheLogOfTheServerIsBounded(t *testing.T) {
	s := started(t, nil)
	s.ready(t)
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	said := func(text string) bool {
		log, err := os.ReadFile(s.logFile())
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(log, []byte(text))
	}
	if _, err := conn.Exec(t.Context(), `SELECT 'secret'::integer -- and more of what was sent`); err == nil {
		t.Fatal("no error")
	}
	if !said("invalid input syntax") || said("and more of what was sent") {
		t.Error("it does not say the error, or says the statement")
	}
	f, err := os.OpenFile(s.logFile(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Repeat(strings.Repeat("x", 1023)+"\n", logLimit/1024) + "FATAL:  the last line\n"); err != nil {
		t.Fatal(err)
	}
	if why := s.why(); !strings.HasPrefix(why, "the last line (") {
		t.Errorf("why: %.100s", why)
	}
	if err := s.boundLog(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(s.logFile() + ".1"); err != nil || st.Size() != logLimit {
		t.Errorf("the log before: %+v, %v", st, err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT 'another'::integer`); err == nil {
		t.Fatal("no error")
	}
	if st, err := os.Stat(s.logFile()); err != nil || st.Size() > 1024 || !said(`"another"`) {
		t.Errorf("the log now: %+v, %v", st, err)
	}
}
