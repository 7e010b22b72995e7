package git

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/hoist-sh/hoist"
)

// session is one request of a client for one app, through either door.
type session struct {
	*Server
	account hoist.Account
	app     hoist.App
	service service

	in        io.Reader
	out       io.Writer
	protocol  string // GIT_PROTOCOL; empty for the oldest
	stateless bool   // HTTP: one request, one answer
	advertise bool   // HTTP: only say what there is
}

// run answers the client. Its error is for the log and for forPeople; what git
// had to say has been sent. The context ends when the client has gone.
func (s *session) run(ctx context.Context) error {
	mirror, err := s.cache.open(ctx, s.app.ID)
	if err != nil {
		return err
	}
	if s.service == receivePack && !s.advertise {
		err := s.push(ctx, mirror)
		mirror.close()
		s.background(func(ctx context.Context) {
			s.compact(ctx, s.app.ID)
			s.cache.evict()
		})
		return err
	}
	defer mirror.close()
	args := []string{string(s.service), "--strict"}
	if s.service == receivePack {
		args = args[:1]
	}
	if s.stateless {
		args = append(args, "--stateless-rpc")
	}
	if s.advertise {
		args = append(args, "--advertise-refs")
	}
	err = s.talk(ctx, []string{"uploadpack.allowFilter=true"}, nil, nil, append(args, mirror.dir)...)
	if errors.Is(err, errGit) && ctx.Err() == nil && !s.cache.sound(s.app.ID, mirror) {
		mirror.close()
		s.cache.drop(s.app.ID)
	}
	return err
}

// errClient marks the end of the connection by the client.
var errClient = errors.New("the client went away")

// errGit marks a failure of git of which it has told the client.
var errGit = errors.New("git failed")

// talk runs a git process between the client's streams.
func (s *session) talk(ctx context.Context, config, env []string, files []*os.File, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.protocol != "" {
		env = append(env, "GIT_PROTOCOL="+s.protocol)
	}
	cmd := command(ctx, config, env, args...)
	cmd.ExtraFiles = files
	cmd.WaitDelay = stall + 30*time.Second // a slow client reads what git left in the pipe when it ended
	// What git says here is repeated to the client over its own protocol,
	// or is of the kind "the remote end hung up".
	var stderr tail
	cmd.Stderr = &stderr
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		n, err := s.out.Write(p)
		if err != nil {
			cancel(errClient)
		}
		return n, err
	})
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for _, f := range files {
		f.Close()
	}
	go func() { // ends with the client's stream, not with the process
		io.Copy(stdin, s.in)
		stdin.Close()
	}()
	err = cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return errClient
	}
	if err != nil {
		err = errors.Join(errGit, err)
		s.Log.Warn("git failed", "app", s.app.Name, "command", args[0], "err", err, "stderr", stderr.String())
	}
	return err
}
