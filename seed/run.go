package seed

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// RunRequest is a command to run in a one-off dyno of the platform's own app, by the seed alone.
type RunRequest struct {
	Command string            `json:"command"`
	As      string            `json:"as"` // a component whose environment it has; empty for the app's config only
	TTY     bool              `json:"tty"`
	Env     map[string]string `json:"env"`
}

// runMessage is what the two ends of an attached run tell each other, as a stream of gobs.
type runMessage struct {
	Data  []byte
	End   bool   // of the command's input
	Ended bool   // the last message to the client
	Code  int    // the command's exit code
	Error string // why there is none
}

const runProtocol = "hoist-run"

// runIDs are the user ids of runs, after those of the components' dynos.
var runIDs = uint32(0x0f00+len(hoist.Components)) << 16

// runEnds is how long a command may go on after its client went.
const runEnds = 10 * time.Second

// spec is the container of a run: the slug that shall run now, in the host's network
// so that the ground can be reached.
func (y *system) spec(ctx context.Context, r RunRequest) (hoist.ContainerSpec, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	id := hoist.NewID()
	spec := hoist.ContainerSpec{ID: id, Name: "run", Command: r.Command, Attach: true, TTY: r.TTY, Env: map[string]string{},
		Size: sizeNamed("Standard-2X"), Grants: &hoist.Grants{HostNetwork: true, IDs: runIDs}, Labels: map[string]string{"run": "attached"}}
	if y.seed.cfg.Engine == nil {
		return spec, hoist.Invalid("This seed cannot make containers: it was started without runtime.")
	}
	if y.engine == nil {
		if err := y.open(ctx); err != nil {
			return spec, err
		}
	}
	want := y.state.wanted()
	if want == nil {
		want = &desired{} // stage 0: there is no slug, and /app is empty
	} else {
		if err := y.whole(want.Slug); err != nil {
			return spec, hoist.Invalid("v%d cannot be run: %v. `hoist seed releases` lists others.", want.Version, err)
		}
		spec.SlugPath = y.slugFile(want.Slug)
	}
	for k, v := range want.Config {
		spec.Env[k] = v
	}
	if r.As != "" {
		if !slices.Contains(hoist.Components, r.As) {
			return spec, hoist.Invalid("%q is not a component; there are %s.", r.As, strings.Join(hoist.Components, ", "))
		}
		env, err := y.environ(r.As, want)
		if err != nil {
			return spec, err
		}
		spec.Env = env
	}
	spec.Env["DYNO"], spec.Env["HOIST_APP_NAME"] = spec.Name, hoist.SystemApp
	spec.Env["HOIST_RELEASE_VERSION"], spec.Env["HOIST_SLUG_COMMIT"] = fmt.Sprintf("v%d", want.Version), want.Commit
	for k, v := range r.Env {
		spec.Env[k] = v
	}
	return spec, nil
}

// serveRun runs a command and attaches the client to it: 101, then gobs.
func (s *Seed) serveRun(w http.ResponseWriter, r *http.Request) {
	refuse := func(err error) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		json.NewEncoder(w).Encode(&hoist.Error{ID: "run", Message: err.Error()})
	}
	var req RunRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&req); err != nil {
		refuse(err)
		return
	}
	spec, err := s.system.spec(s.ctx, req)
	if err != nil {
		refuse(err)
		return
	}
	engine := s.system.engine
	defer engine.Remove(context.WithoutCancel(s.ctx), spec.ID) // also what a failed start leaves
	if err := engine.Start(s.ctx, spec); err != nil {
		refuse(err)
		return
	}
	stream, err := engine.Attach(spec.ID)
	if err != nil {
		refuse(err)
		return
	}
	defer stream.Close()
	s.log.Info("run", "container", spec.ID, "command", req.Command)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", runProtocol)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	go func() {
		runInput(buffered, stream)
		stream.Close() // SIGHUP: the client is gone
		select {
		case <-ctx.Done():
		case <-time.After(runEnds):
			cancel()
		}
	}()
	out := gob.NewEncoder(conn)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if _, err := io.Copy(gobWriter{out}, stream); err != nil {
			io.Copy(io.Discard, stream)
		}
	}()
	exit, err := engine.Watch(ctx, spec.ID, nil)
	select {
	case <-drained:
	case <-time.After(runEnds): // something it started holds its output
	}
	last := runMessage{Ended: true, Code: exit.Code}
	if err != nil {
		last.Error = err.Error()
	}
	conn.SetWriteDeadline(time.Now().Add(runEnds))
	out.Encode(last)
	s.log.Info("run ended", "container", spec.ID, "code", exit.Code)
}

// runInput passes on what the client sends, until it is gone.
func runInput(from io.Reader, stream io.Writer) {
	in := gob.NewDecoder(from)
	for {
		var m runMessage
		if in.Decode(&m) != nil {
			return
		}
		stream.Write(m.Data) // if it fails the command has closed its input
		if c, ok := stream.(interface{ CloseWrite() error }); ok && m.End {
			c.CloseWrite()
		}
	}
}

// gobWriter sends what is written as messages.
type gobWriter struct{ *gob.Encoder }

func (w gobWriter) Write(p []byte) (int, error) {
	if err := w.Encode(runMessage{Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// RunCommand runs a command by a running seed, joined to in and out, and returns its exit code.
func RunCommand(ctx context.Context, s Settings, r RunRequest, in io.Reader, out io.Writer) (code int, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
	if err != nil {
		_, err := call(ctx, s, http.MethodGet, "/status") // says why
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	body, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://seed/run", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	if err := req.Write(conn); err != nil {
		return 0, err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, req)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		var refused hoist.Error
		if json.NewDecoder(resp.Body).Decode(&refused) == nil && refused.Message != "" {
			return 0, errors.New(refused.Message)
		}
		return 0, fmt.Errorf("the seed answered %s", resp.Status)
	}
	to := gob.NewEncoder(conn)
	go func() { // may stay in a read of the terminal; the program ends with it
		io.Copy(gobWriter{to}, in)
		to.Encode(runMessage{End: true})
	}()
	for from := gob.NewDecoder(buffered); ; {
		var m runMessage
		if err := from.Decode(&m); err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, fmt.Errorf("The connection to the seed was lost, and the command with it: %w", err)
		}
		switch {
		case m.Error != "":
			return 0, fmt.Errorf("nobody can say how the command ended: %s", m.Error)
		case m.Ended:
			return m.Code, nil
		}
		if _, err := out.Write(m.Data); err != nil {
			return 0, err
		}
	}
}
