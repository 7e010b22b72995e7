package git_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hoist-sh/hoist/git"
)

func TestNobodyReadsOrPushesWhatIsNotTheirs(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann, bob := w.person("ann"), w.person("bob")
	app, dir := ann.app("shop"), ann.work()
	ann.git(dir, "push", s.sshURL("shop"), "main")
	before := w.refs(app)

	t.Run("an app that is somebody else's looks like none", func(t *testing.T) {
		for _, url := range []func(string) string{s.sshURL, func(a string) string { return s.httpURL(bob, a) }} {
			for _, args := range [][]string{{"ls-remote", "APP"}, {"clone", "APP", "x"}, {"push", "--force", "APP", "main"}} {
				var said []string
				for _, name := range []string{"shop", "none"} {
					cmd := make([]string, len(args))
					for i, a := range args {
						cmd[i] = strings.Replace(a, "APP", url(name), 1)
					}
					out := bob.fails("No such app as "+name+".", dir, cmd...)
					said = append(said, strings.ReplaceAll(out, name, "APP"))
				}
				if said[0] != said[1] {
					t.Errorf("%q\n%q", said[0], said[1])
				}
			}
		}
	})

	t.Run("a collaborator may", func(t *testing.T) {
		carol := w.person("carol")
		w.exec(`INSERT INTO collaborators (id, app_id, account_id) VALUES (gen_random_uuid(), $1, $2)`, app, carol.id)
		carol.git(dir, "ls-remote", s.sshURL("shop"))
		carol.git(dir, "ls-remote", s.httpURL(carol, "shop"))
	})

	t.Run("an unknown key is refused", func(t *testing.T) {
		eve := w.person("eve")
		w.exec(`DELETE FROM keys WHERE account_id = $1`, eve.id)
		eve.fails("Permission denied (publickey)", dir, "ls-remote", s.sshURL("shop"))
	})

	t.Run("ssh goes on to the next key", func(t *testing.T) {
		dan := w.person("dan")
		w.exec(`DELETE FROM keys WHERE account_id = $1`, dan.id)
		cmd := ann.command(dir, "git", "ls-remote", s.sshURL("shop"))
		cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND="+strings.Join(ann.sshArgs(), " ")+" -i "+dan.keyFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Error(err, string(out))
		}
	})

	t.Run("a key that is only offered gives no access", func(t *testing.T) {
		// bob offers ann's public key, which he has not the private half of,
		// and logs in with his own.
		public, err := bob.try("/", "ssh-keygen", "-y", "-f", ann.keyFile)
		if err != nil {
			t.Fatal(public)
		}
		fake := filepath.Join(t.TempDir(), "ann")
		os.WriteFile(fake+".pub", []byte(public), 0o600)
		args := append([]string{"-i", fake + ".pub", "-T"}, append(bob.sshArgs()[1:], "-p", port(s.ssh), "git@127.0.0.1")...)
		out, _ := bob.try("/", "ssh", args...)
		if !strings.Contains(out, bob.email) || strings.Contains(out, ann.email) {
			t.Error(out)
		}
	})

	t.Run("tokens", func(t *testing.T) {
		url := "http://" + s.http + "/shop.git/info/refs?service=git-upload-pack"
		if code, header := status(t, url); code != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") {
			t.Error(code, header)
		}
		for userinfo, want := range map[string]int{
			"x:" + ann.token: 200, ":" + ann.token: 200, "heroku:" + ann.token: 200,
			"x:wrong": 401, ann.token + ":": 401, "x:" + bob.token: 404,
		} {
			if code, _ := status(t, strings.Replace(url, "://", "://"+userinfo+"@", 1)); code != want {
				t.Error(userinfo, code)
			}
		}
		w.exec(`UPDATE authorizations SET expires_at = now() - interval '1 s' WHERE account_id = $1`, bob.id)
		if code, _ := status(t, strings.Replace(url, "://", "://x:"+bob.token+"@", 1)); code != 401 {
			t.Error("an expired token gives", code)
		}
		dumb := "http://x:" + ann.token + "@" + s.http + "/shop.git/"
		for path, want := range map[string]int{
			"info/refs": 403, "HEAD": 404, "objects/info/packs": 404, "config": 404,
			"../../etc/passwd": 404, "info/refs?service=git-upload-archive": 403,
		} {
			if code, _ := status(t, dumb+path); code != want {
				t.Error(path, code)
			}
		}
	})

	if after := w.refs(app); after["refs/heads/main"] != before["refs/heads/main"] || len(after) != 1 {
		t.Error(before, after)
	}
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func TestSSHRunsNothingButGit(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	ssh := func(args ...string) (string, error) {
		return ann.try("/", "ssh", append(append(ann.sshArgs()[1:], "-p", port(s.ssh)), args...)...)
	}
	marker := filepath.Join(t.TempDir(), "marker")
	for _, command := range []string{
		"ls", "sh -c 'touch " + marker + "'", "git-upload-pack '../../x.git'", "git-upload-pack 'shop.git'; touch " + marker,
		"git-upload-pack --upload-pack=touch shop", "git-upload-pack '--help'", "git-receive-pack '-shop'",
		"git-upload-pack $(touch " + marker + ")", "git-upload-pack 'shop.git' 'shop.git'", "git-upload-pack /etc/passwd",
		"git-upload-archive 'shop.git'", "git-upload-pack", "git upload-pack -- 'shop.git'", "git -c alias.x=!sh x",
		"git-upload-pack 'shop\n.git'", "git-upload-pack ''", "git-shell", "scp -t /", "git-upload-pack '~/shop.git'",
	} {
		if out, err := ssh("git@127.0.0.1", command); err == nil {
			t.Errorf("%q: %s", command, out)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a command ran")
	}
	if out, err := ssh("-T", "git@127.0.0.1"); err == nil || !strings.Contains(out, "Hello, ann@example.com.") {
		t.Error(out, err)
	}
	terminal, err := pty.Start(ann.command("/", "ssh", append(ann.sshArgs()[1:], "-p", port(s.ssh), "git@127.0.0.1")...))
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	said, _ := io.ReadAll(terminal) // EIO at the end
	if !strings.Contains(string(said), "Hello, ann@example.com.") {
		t.Errorf("%q", said)
	}
	if out, err := ssh("-s", "git@127.0.0.1", "sftp"); err == nil {
		t.Error(out)
	}
	if out, err := ssh("-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "git@127.0.0.1"); err == nil {
		t.Error(out)
	}
	if out, err := ssh("-W", "127.0.0.1:"+port(s.http), "git@127.0.0.1"); err == nil {
		t.Error(out)
	}
	// The client's environment does not reach git.
	trace := filepath.Join(t.TempDir(), "trace")
	out, err := ssh("-o", "SetEnv=GIT_TRACE="+trace+" GIT_PROTOCOL=version=2", "git@127.0.0.1", "git-upload-pack 'shop.git'", "</dev/null")
	if _, statErr := os.Stat(trace); statErr == nil {
		t.Error("GIT_TRACE was taken", out, err)
	}
}

func TestBeforeItHasProvenItselfGitTakesPushesAtItsOwnDoorsOnly(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.app("blue")
	proven := make(chan struct{})
	s := w.server(func(c *git.Config) { c.Proven = proven })
	dir := ada.work()
	ada.git(dir, "push", "ssh://git@"+s.own+"/blue.git", "main")
	ada.git(dir, "ls-remote", s.httpURL(ada, "blue"))
	banner := func(patience time.Duration) error {
		conn, err := net.Dial("tcp", s.ssh)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(patience))
		_, err = io.ReadFull(conn, make([]byte, 7))
		return err
	}
	if err := banner(300 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the public door answers on probation:", err)
	}
	close(proven)
	if err := banner(5 * time.Second); err != nil {
		t.Error(err)
	}
	ada.git(dir, "ls-remote", s.sshURL("blue"))
}
