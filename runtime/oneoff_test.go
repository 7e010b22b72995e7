package runtime_test

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
)

// oneOff inserts a one-off dyno, as api and compile do.
func (a *app) oneOff(d hoist.Dyno) (id hoist.ID, secret string) {
	a.t.Helper()
	id, secret = hoist.NewID(), hoist.NewSecret()
	var hash []byte
	if d.Attach {
		sum := sha256.Sum256([]byte(secret))
		hash = sum[:]
	}
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	if d.Kind == "" {
		d.Kind = hoist.KindRun
	}
	a.p.exec(a.t, `
		INSERT INTO dynos (id, app_id, release_id, kind, type, number, size, command, env, attach, tty, secret_hash, timeout_s)
		SELECT $1, id, current_release_id, $2, 'run', 1, 'Basic', $3, $4, $5, $6, $7, $8 FROM apps WHERE id = $9`,
		id, d.Kind, d.Command, d.Env, d.Attach, d.TTY, hash, int(d.Timeout.Seconds()), a.id)
	a.p.bus.Ring(hoist.BellDyno+a.id, nil)
	return id, secret
}

// attach dials the worker that took the dyno, as the router does.
func (a *app) attach(id hoist.ID, secret string) net.Conn {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	defer cancel()
	var addr string
	a.eventually("a worker takes the dyno", func() bool {
		return a.p.db.Pool.QueryRow(ctx, `SELECT w.address FROM dynos d JOIN workers w ON w.id = d.worker_id WHERE d.id = $1`, id).Scan(&addr) == nil
	})
	conn, err := rendezvous.Dial(ctx, addr, secret)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	return conn
}

// exit returns the exit code in the row, -1 if there is none (yet).
func (a *app) exit(id hoist.ID) int {
	for _, d := range a.dynos() {
		if d.ID == id && d.State == hoist.DynoDown && d.ExitCode != nil {
			return *d.ExitCode
		}
	}
	return -1
}

func (a *app) reads(conn net.Conn, want string) {
	a.t.Helper()
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got strings.Builder
	b := make([]byte, 1000)
	for !strings.Contains(got.String(), want) {
		n, err := conn.Read(b)
		got.Write(b[:n])
		if err != nil {
			a.t.Fatalf("%q, then %v", got.String(), err)
		}
	}
}

func TestOneOffs(t *testing.T) {
	p := newPlatform(t)
	e := newHostEngine(t)
	p.worker(t, e)

	t.Run("a detached one logs and leaves its exit code", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, _ := a.oneOff(hoist.Dyno{Command: `echo "$DYNO $V $X"; exit 7`, Env: map[string]string{"X": "extra"}})
		a.eventually("exit code 7", func() bool { return a.exit(id) == 7 })
		a.logs("app[run.1]: run.1 v1 extra", "heroku[run.1]: Process exited with status 7", "heroku[run.1]: State changed from up to complete")
	})
	t.Run("an attached one gets pipes; EOT ends its input; the exit code is there at the end", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `cat; echo end; exit 3`, Attach: true})
		conn := a.attach(id, secret)
		conn.Write([]byte("one\x04two\n"))
		a.reads(conn, "one\x04two\n")
		conn.Write([]byte{rendezvous.EOT})
		rest, err := io.ReadAll(conn)
		if string(rest) != "end\n" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		if code := a.exit(id); code != 3 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("input that a pause has cut is no success", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `cat; echo end; sleep 1000`, Attach: true})
		conn := a.attach(id, secret)
		conn.Write([]byte("one\x04"))
		a.reads(conn, "one") // and after the pause:
		a.reads(conn, "end\n")
		conn.Write([]byte("two\n"))
		if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		if code := a.exit(id); code != 137 {
			t.Errorf("exit code %d", code)
		}
		a.logs("heroku[run.1]: Error: input came after its end")
	})
	t.Run("a second client is refused", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `echo ready; read -r line; exit 5`, Attach: true})
		conn := a.attach(id, secret)
		a.reads(conn, "ready")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := rendezvous.Dial(ctx, conn.RemoteAddr().String(), secret); err == nil || err.Error() != "Somebody else is attached to this dyno." {
			t.Errorf("got %v", err)
		}
		conn.Write([]byte("\n"))
		io.ReadAll(conn)
		if code := a.exit(id); code != 5 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("an attached one gets a terminal", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `tty; read -r line; echo "got $line in $TERM"`, Attach: true, TTY: true, Env: map[string]string{"TERM": "vt100"}})
		conn := a.attach(id, secret)
		a.reads(conn, "/dev/pts/")
		conn.Write([]byte("hello\r"))
		rest, _ := io.ReadAll(conn)
		if !strings.Contains(string(rest), "got hello in vt100\r\n") {
			t.Errorf("%q", rest)
		}
		if code := a.exit(id); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("much output arrives whole", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `head -c 5000000 /dev/zero`, Attach: true})
		if all, err := io.ReadAll(a.attach(id, secret)); len(all) != 5_000_000 || err != nil {
			t.Errorf("%d bytes, %v", len(all), err)
		}
	})
	t.Run("it ends when its client goes away", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `echo ready; exec sleep 1000`, Attach: true})
		conn := a.attach(id, secret)
		a.reads(conn, "ready")
		conn.Close()
		a.eventually("SIGHUP", func() bool { return a.exit(id) == 129 })
	})
	t.Run("its client is rung for when a worker takes it", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		rung := make(chan hoist.ID, 100)
		if err := a.p.bus.Listen(t.Context(), hoist.BellDyno+a.id, func(_ string, data []byte) { rung <- hoist.ID(data) }); err != nil {
			t.Fatal(err)
		}
		id, secret := a.oneOff(hoist.Dyno{Command: `exit 4`, Attach: true})
		for late := time.After(20 * time.Second); ; {
			select {
			case of := <-rung:
				if of != id {
					continue
				}
			case <-late:
				t.Fatal("no bell, so the client asks the database again and again")
			}
			break
		}
		io.ReadAll(a.attach(id, secret)) // it has waited for this
		if code := a.exit(id); code != 4 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("it ends when nobody attaches", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, _ := a.oneOff(hoist.Dyno{Command: `touch /nobody`, Attach: true})
		a.logs("heroku[run.1]: Error R13 (Attach error) -> Failed to attach to process")
		a.becomes("")
		if d := a.dynos()[0]; d.ID != id || !strings.HasPrefix(d.Reason, "R13") {
			t.Errorf("%+v", d)
		}
	})
	t.Run("it ends when it is stopped", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Command: `echo ready; exec sleep 1000`, Attach: true})
		conn := a.attach(id, secret)
		a.reads(conn, "ready")
		a.want(id, hoist.WantDown)
		io.ReadAll(conn)
		if code := a.exit(id); code != 143 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("it ends when its time is over", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, _ := a.oneOff(hoist.Dyno{Command: `exec sleep 1000`, Timeout: time.Second})
		a.eventually("killed", func() bool { return a.exit(id) == 137 })
		if d := a.dynos()[0]; d.Reason != "it ran for longer than 1s" {
			t.Errorf("%+v", d)
		}
	})
	t.Run("a build sees its own environment and nothing of the app", func(t *testing.T) {
		a := p.app(t)
		a.deploy(nil)
		id, secret := a.oneOff(hoist.Dyno{Kind: hoist.KindBuild, Command: `echo "V=$V SLUG=$SLUG URL=$URL"`, Attach: true, Env: map[string]string{"URL": "presigned"}})
		if out, err := io.ReadAll(a.attach(id, secret)); string(out) != "V= SLUG= URL=presigned\n" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("a wrong secret is refused", func(t *testing.T) {
		var addr string
		if err := p.db.Pool.QueryRow(t.Context(), `SELECT address FROM workers`).Scan(&addr); err != nil {
			t.Fatal(err)
		}
		if _, err := rendezvous.Dial(t.Context(), addr, "wrong"); err == nil || err.Error() != "Couldn't find that dyno." {
			t.Error(err)
		}
	})
}
