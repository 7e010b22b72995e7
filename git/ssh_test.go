package git_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/git"
	gossh "golang.org/x/crypto/ssh"
)

// session begins a command over SSH as a client of our own.
func (p *person) session(s *server, command string) (ses *gossh.Session, in io.WriteCloser, out io.Reader) {
	p.w.t.Helper()
	text, err := os.ReadFile(p.keyFile)
	if err != nil {
		p.w.t.Fatal(err)
	}
	key, err := gossh.ParsePrivateKey(text)
	if err != nil {
		p.w.t.Fatal(err)
	}
	client, err := gossh.Dial("tcp", s.ssh, &gossh.ClientConfig{User: "git",
		Auth: []gossh.AuthMethod{gossh.PublicKeys(key)}, HostKeyCallback: gossh.InsecureIgnoreHostKey()})
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.t.Cleanup(func() { client.Close() })
	if ses, err = client.NewSession(); err == nil {
		if in, err = ses.StdinPipe(); err == nil {
			if out, err = ses.StdoutPipe(); err == nil {
				err = ses.Start(command)
			}
		}
	}
	if err != nil {
		p.w.t.Fatal(err)
	}
	return ses, in, out
}

func TestSilentClientsStayAndDeadOnesGo(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.Idle = time.Second })
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	silent, in, out := ann.session(s, "git-receive-pack 'shop.git'")
	time.Sleep(3 * time.Second)
	io.WriteString(in, "0000")
	io.Copy(io.Discard, out)
	if err := silent.Wait(); err != nil {
		t.Error(err)
	}

	ann.commit(dir, "slow build")
	dead := ann.start(dir, "push", s.sshURL("shop"), "main")
	dead.waitFor("Stand-in app detected")
	dead.kill(syscall.SIGSTOP)
	eventually(t, "the dead client's build is canceled", func() bool { return strings.Join(w.states(app), " ") == "canceled" })
}

// A client that answers is not gone, whatever it does.
func TestNoConnectionStaysForEver(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.Longest = 10 * time.Second })
	ann := w.person("ann")
	app := ann.app("shop")
	ses, _, out := ann.session(s, "git-upload-pack 'shop.git'")
	if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- ses.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended by itself")
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	mirrors, _ := filepath.Glob(filepath.Join(s.dir, "mirrors", "*", app+".use"))
	if len(mirrors) != 1 {
		t.Fatal(mirrors)
	}
	eventually(t, "its mirror is not in use", func() bool {
		f, err := os.Open(mirrors[0])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
}

func TestAnAccountHasSoManyCommandsAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.server(func(c *git.Config) { c.Commands = 2 })
	ann, bob := w.person("ann"), w.person("bob")
	ann.app("shop")
	bob.app("other")
	_, in, out := ann.session(s, "git-upload-pack 'shop.git'")
	_, _, second := ann.session(s, "git-upload-pack 'shop.git'")
	for _, out := range []io.Reader{out, second} {
		if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	ann.fails("You have 2 git commands under way here", t.TempDir(), "ls-remote", s.sshURL("shop"))
	bob.git(t.TempDir(), "ls-remote", s.sshURL("other"))
	io.WriteString(in, "0000")
	eventually(t, "there is room when one has ended", func() bool {
		_, err := ann.try(t.TempDir(), "git", "ls-remote", s.sshURL("shop"))
		return err == nil
	})
}

// What git has left in its pipe when it ends is the client's all the same.
func TestASlowCloneIsWhole(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	ann.app("shop")
	dir := ann.work()
	const window = 2 << 20 // what this client takes unread
	noise := make([]byte, window+48<<10)
	rand.Read(noise)
	os.WriteFile(filepath.Join(dir, "noise"), noise, 0o644)
	commit := ann.commit(dir, "ok noise")
	ann.git(dir, "push", s.sshURL("shop"), "main")

	ses, in, out := ann.session(s, "git-upload-pack 'shop.git'")
	fmt.Fprintf(in, "0032want %s\n00000009done\n", commit)
	time.Sleep(8 * time.Second)
	got, err := io.ReadAll(out)
	if err := ses.Wait(); err != nil {
		t.Error(err)
	}
	_, pack, _ := bytes.Cut(got, []byte("0008NAK\n"))
	if err != nil || len(pack) < len(noise) {
		t.Fatal(err, len(pack))
	}
	index := ann.command(dir, "git", "index-pack", "--stdin", "--fix-thin")
	index.Stdin = bytes.NewReader(pack)
	if out, err := index.CombinedOutput(); err != nil {
		t.Error(err, string(out))
	}
}

func TestAClientsMistakesLeaveTheMirror(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	ann := w.person("ann")
	app, dir := ann.app("shop"), ann.work()
	ann.git(dir, "push", s.sshURL("shop"), "main")
	ann.git(t.TempDir(), "clone", "-q", s.sshURL("shop"), ".")
	mirrors, _ := filepath.Glob(filepath.Join(s.dir, "mirrors", "*", app+".git"))
	if len(mirrors) != 1 {
		t.Fatal(mirrors)
	}
	before, err := os.Stat(mirrors[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{"0032want " + strings.Repeat("a", 40) + "\n00000009done\n", "not git's protocol"} {
		ses, in, out := ann.session(s, "git-upload-pack 'shop.git'")
		io.WriteString(in, said)
		io.Copy(io.Discard, out)
		if ses.Wait() == nil {
			t.Errorf("%q was taken", said)
		}
	}
	if after, err := os.Stat(mirrors[0]); err != nil || !os.SameFile(before, after) {
		t.Error("the mirror was dropped", err)
	}
}
