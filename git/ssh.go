package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
	gossh "golang.org/x/crypto/ssh"
)

const (
	// loginGrace is how long a connection may take to log in and ask for
	// something.
	loginGrace = time.Minute
	// maxAuthTries lets people with many keys in their agent in.
	maxAuthTries = 20
)

type contextKey string

const (
	accountKey contextKey = "account"
	graceKey   contextKey = "grace"
)

// serveSSH takes connections until ctx ends, and lets those under way go on.
func (s *Server) serveSSH(ctx context.Context, key gossh.Signer, listeners ...net.Listener) error {
	srv := &ssh.Server{
		Version:          "hoist",
		HostSigners:      []ssh.Signer{key},
		Handler:          s.handleSSH,
		PublicKeyHandler: s.authenticate,
		PtyCallback:      func(ssh.Context, ssh.Pty) bool { return false },
		IdleTimeout:      s.Idle,
		MaxTimeout:       s.Longest,
		ServerConfigCallback: func(ssh.Context) *gossh.ServerConfig {
			return &gossh.ServerConfig{MaxAuthTries: maxAuthTries}
		},
		ConnCallback: func(ctx ssh.Context, conn net.Conn) net.Conn {
			ctx.SetValue(graceKey, time.AfterFunc(loginGrace, func() { conn.Close() }))
			return conn
		},
		// Sessions only: no forwarding of ports, agents or X11, no subsystem.
		ChannelHandlers: map[string]ssh.ChannelHandler{"session": ssh.DefaultSessionHandler},
	}
	served := make(chan error, len(listeners))
	var open sync.WaitGroup // also those that are still logging in
	for _, l := range listeners {
		go func() { served <- srv.Serve(socket.Count(l, &open)) }()
	}
	select {
	case err := <-served:
		return fmt.Errorf("ssh: %w", err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Drain+cutGrace)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		srv.Shutdown(late)
		open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-late.Done():
		srv.Close()
	}
	return nil
}

// authenticate looks a key up by its fingerprint. Of several keys the last one
// asked for is the one the client has proved to have (x/crypto/ssh,
// ServerConfig.PublicKeyCallback).
func (s *Server) authenticate(ctx ssh.Context, key ssh.PublicKey) bool {
	ctx.SetValue(accountKey, nil)
	// A database that is away for a moment must not look like a wrong key.
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		account, err := s.DB.AccountByFingerprint(wait, gossh.FingerprintSHA256(key))
		if err == nil {
			ctx.SetValue(accountKey, account)
			return true
		}
		if errors.Is(err, hoist.ErrNotFound) {
			return false
		}
		s.Log.Warn("cannot look up a key", "err", err)
		select {
		case <-wait.Done():
			return false
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s *Server) handleSSH(conn ssh.Session) {
	if grace, ok := conn.Context().Value(graceKey).(*time.Timer); ok {
		grace.Stop()
	}
	account, ok := conn.Context().Value(accountKey).(hoist.Account)
	if !ok {
		conn.Exit(1)
		return
	}
	if conn.RawCommand() == "" {
		fmt.Fprintf(conn, "Hello, %s. This is hoist: git push, fetch and clone work here (%s); there is no shell.\n",
			account.Email, s.Public.GitSSH("APP"))
		conn.Exit(1)
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go s.keepAlive(conn.Context(), ended)
	if err := s.sshCommand(conn, account); err != nil {
		if !errors.Is(err, errClient) && !errors.Is(err, errGit) {
			if _, ok := errors.AsType[refusal](err); !ok && conn.Context().Err() == nil {
				s.Log.Error("ssh", "account", account.Email, "command", conn.RawCommand(), "err", err)
			}
			io.WriteString(conn.Stderr(), bang(forPeople(err)))
		}
		conn.Exit(1)
		return
	}
	conn.Exit(0)
}

// keepAlive has the client answer now and then until ended, so that only
// clients that are gone are idle: git says nothing while a big mirror is made,
// nor a client's git while it compresses what it will push.
func (s *Server) keepAlive(ctx ssh.Context, ended <-chan struct{}) {
	client, ok := ctx.Value(ssh.ContextKeyConn).(*gossh.ServerConn)
	for ok {
		select {
		case <-ended:
			return
		case <-time.After(s.Idle / 4):
		}
		// Before the answer nothing more is asked: what is written counts as a sign of life, too.
		if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			return
		}
	}
}

func (s *Server) sshCommand(conn ssh.Session, account hoist.Account) error {
	service, path, err := parseCommand(conn.RawCommand())
	if err != nil {
		return err
	}
	app, err := s.appAt(conn.Context(), account, path)
	if err != nil {
		return err
	}
	leave, ok := s.under.take(account.ID, s.Commands)
	if !ok {
		return refuse("You have %d git commands under way here, which is the limit. End one, or wait until one ends.", s.Commands)
	}
	defer leave()
	ses := &session{Server: s, account: account, app: app, service: service, out: conn}
	ses.in = io.LimitReader(conn, s.inputLimit(service))
	for _, v := range conn.Environ() {
		if p, ok := strings.CutPrefix(v, "GIT_PROTOCOL="); ok && validProtocol(p) {
			ses.protocol = p
		}
	}
	return ses.run(conn.Context())
}

// validProtocol reports whether p can be a list of keys and values as in git's
// GIT_PROTOCOL variable; no other variable of the client's is looked at.
func validProtocol(p string) bool {
	return len(p) <= 64 && strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789=:-") == ""
}
