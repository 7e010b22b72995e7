package proof_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// sshDoor serves git over SSH (RFC 4254, 6.5) to whoever comes, by the programs that program names for
// "upload-pack" and "receive-pack"; pushed is called after the latter.
func sshDoor(t *testing.T, program func(command string) *exec.Cmd, pushed func()) (address string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ssh.ServerConfig{NoClientAuth: true}
	cfg.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			tcp, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer tcp.Close()
				_, channels, requests, err := ssh.NewServerConn(tcp, cfg)
				if err != nil {
					return
				}
				go ssh.DiscardRequests(requests)
				for offered := range channels {
					channel, requests, err := offered.Accept()
					if err != nil {
						return
					}
					go func() {
						for r := range requests {
							if r.Type != "exec" {
								r.Reply(r.Type == "env", nil)
								continue
							}
							r.Reply(true, nil)
							command, _, _ := strings.Cut(strings.TrimPrefix(string(r.Payload[4:]), "git-"), " ")
							go execute(channel, program(command), command == "receive-pack", pushed)
						}
					}()
				}
			}()
		}
	}()
	return l.Addr().String()
}

func execute(channel ssh.Channel, cmd *exec.Cmd, pushes bool, pushed func()) {
	defer channel.Close()
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		go func() { // its end is the client's, which waits for ours
			buffer := make([]byte, 32<<10)
			for {
				n, err := channel.Read(buffer)
				in.Write(buffer[:n])
				if err != nil {
					in.Close()
					return
				}
			}
		}()
		err = cmd.Wait()
	}
	if err == nil && pushes {
		pushed()
	}
	status := struct{ Status uint32 }{}
	if err != nil {
		status.Status = 1
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(&status))
}
