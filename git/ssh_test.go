package git_test

import (
	"io"
	"os"
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
