package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/hoist-sh/hoist"
)

// HookName is the name under which the program of Config.Hook is executed as
// git's hook; it then has to call Hook.
const HookName = "pre-receive"

// hookEnv tells the hook the file descriptor of its connection to us. It is
// one end of a socket pair, inherited through git: nobody else can connect.
const hookEnv = "HOIST_HOOK_FD"

// updatesLimit bounds the list of a push's updates, in bytes: several times
// what a repository may have. As JSON it is a third longer.
const (
	updatesLimit = 12 << 20
	requestLimit = 16<<20 + 64<<10
)

// hookRequest is what the hook is asked by git (githooks(5), pre-receive).
type hookRequest struct {
	Updates []byte            // "old new ref" lines
	Env     map[string]string // where the pushed objects are
}

// quarantineEnv are the variables that let git see objects of a push that is
// not accepted yet (git-receive-pack(1), QUARANTINE ENVIRONMENT).
var quarantineEnv = []string{"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"}

// hookAnswer is a piece of text for the client or, at the end, the hook's exit
// code.
type hookAnswer struct {
	Text string `json:",omitempty"`
	Exit *int   `json:",omitempty"`
}

// Hook is the whole of the pre-receive hook: it asks the git component that
// runs this push and returns the exit code. Anything but 0 rejects the push.
func Hook(stdin io.Reader, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprint(stderr, bang("Connection to the platform was lost: "+err.Error()+". Nothing was deployed, or look at your releases."))
		return 1
	}
	fd, err := strconv.Atoi(os.Getenv(hookEnv))
	if err != nil {
		return fail(fmt.Errorf("%s is not set", hookEnv))
	}
	conn := os.NewFile(uintptr(fd), "hoist")
	defer conn.Close()
	updates, err := io.ReadAll(io.LimitReader(stdin, updatesLimit+1))
	if err != nil {
		return fail(err)
	}
	if len(updates) > updatesLimit {
		fmt.Fprint(stderr, bang("These are too many branches and tags for one push. Push fewer of them at once."))
		return 1
	}
	req := hookRequest{Updates: updates, Env: map[string]string{}}
	for _, name := range quarantineEnv {
		req.Env[name] = os.Getenv(name)
	}
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return fail(err)
	}
	for answers := json.NewDecoder(conn); ; {
		var a hookAnswer
		if err := answers.Decode(&a); err != nil {
			return fail(err)
		}
		if a.Exit != nil {
			return *a.Exit
		}
		io.WriteString(stderr, a.Text)
	}
}

// serveHook answers the hook of this push, if git comes to run it.
func (p *pushing) serveHook(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var req hookRequest
	if err := json.NewDecoder(io.LimitReader(conn, requestLimit)).Decode(&req); err != nil {
		return // rejected by git itself, or the client went away
	}
	// The hook says nothing more; when it ends, so does the push.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.gone, cancel)()
	go func() {
		io.Copy(io.Discard, conn)
		cancel()
	}()

	answers := json.NewEncoder(conn)
	p.say = func(text string) { answers.Encode(hookAnswer{Text: text}) }
	for _, name := range quarantineEnv {
		if v := req.Env[name]; v != "" {
			p.env = append(p.env, name+"="+v)
		}
	}
	updates, err := parseUpdates(string(req.Updates))
	if err == nil {
		err = p.accept(ctx, updates)
	}
	if errors.Is(err, context.Canceled) && p.gone.Err() != nil {
		err = refuse("The platform's git process is being replaced. Push again in a moment.")
	}
	code := 0
	if err != nil {
		err = p.orGone(ctx, err)
		code = 1
		switch _, refused := errors.AsType[refusal](err); {
		case err == errRejected:
		case ctx.Err() != nil && !refused: // nobody is there to be told
		default:
			if !refused {
				p.Log.Error("push failed", "app", p.app.Name, "err", err)
			}
			p.say(bang(forPeople(err)))
		}
	}
	p.Log.Info("push", "app", p.app.Name, "account", p.account.Email, "refs", len(updates), "accepted", err == nil, "err", err)
	answers.Encode(hookAnswer{Exit: &code})
}

// orGone is err, or that the app is gone, from which all kinds of errors come.
func (p *pushing) orGone(ctx context.Context, err error) error {
	if _, refused := errors.AsType[refusal](err); refused || err == errRejected {
		return err
	}
	app, lost := p.DB.AppOf(ctx, p.account.ID, p.app.Name)
	if errors.Is(lost, hoist.ErrNotFound) || lost == nil && app.ID != p.app.ID {
		return refuse("%s was destroyed or renamed meanwhile, or is no longer yours.", p.app.Name)
	}
	return err
}

// parseUpdates reads the lines that git gives to its pre-receive hook.
func parseUpdates(text string) ([]hoist.RefUpdate, error) {
	var updates []hoist.RefUpdate
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(f) != 3 || !isObject(f[0]) || !isObject(f[1]) || f[2] == "" {
			return nil, fmt.Errorf("not a ref update: %q", line)
		}
		updates = append(updates, hoist.RefUpdate{Name: f[2], Old: f[0], New: f[1]})
	}
	return updates, nil
}

// isObject reports whether s is the full name of a SHA-1 object.
func isObject(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}

// socketPair returns our end and the one for a child process.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours := os.NewFile(uintptr(fds[0]), "hook")
	defer ours.Close()
	theirs := os.NewFile(uintptr(fds[1]), "hook")
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}
