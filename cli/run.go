package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// bootPatience is how long a one-off dyno may take to start.
const bootPatience = 2 * time.Minute

// oneOff is what run and run:detached share.
type oneOff struct {
	target
	size, kind string
	env        []string
}

func (o *oneOff) flags(cmd *cobra.Command) {
	o.target.flags(cmd)
	cmd.Flags().StringVarP(&o.size, "size", "s", "", "dyno size")
	cmd.Flags().StringVar(&o.kind, "type", "", "name the dyno after this process type")
	cmd.Flags().StringArrayVarP(&o.env, "env", "e", nil, "a further variable for the command, NAME=value")
	cmd.RegisterFlagCompletionFunc("size", o.completeSizes)
	cmd.Flags().SetInterspersed(false) // what follows the command is the command's
}

// take reads `-a APP` and `--remote NAME` also at the end of the command, where
// people who know Heroku's CLI write them; behind -- all is the command's.
func (o *oneOff) take(cmd *cobra.Command, args []string) []string {
	if cmd.ArgsLenAtDash() >= 0 || slices.Contains(args, "--") || o.app != "" || o.remote != "" {
		return args
	}
	last := len(args) - 1
	flag, value, joined := strings.Cut(args[last], "=")
	rest := args[:last]
	if !joined && last > 1 {
		flag, value, rest = args[last-1], args[last], args[:last-1]
	}
	if len(rest) == 0 {
		return args
	}
	switch {
	case (flag == "--app" || flag == "-a" && !joined) && hoist.AppName.MatchString(value):
		o.app = value
	case flag == "--remote" && value != "":
		o.remote = value
	default:
		return args
	}
	return rest
}

// on is target's, with the app also at the end of the command.
func (o *oneOff) on(body func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return o.target.on(body)(cmd, o.take(cmd, args))
	}
}

// request is the body that starts the dyno.
func (o *oneOff) request(args []string, attach bool) (map[string]any, error) {
	env, err := parseConfig(o.env)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"command": RemoteCommand(args), "attach": attach, "env": env}
	if o.size != "" {
		body["size"] = o.size
	}
	if o.kind != "" {
		body["type"] = o.kind
	}
	return body, nil
}

// RemoteCommand makes the remote shell's text from arguments, as Heroku's CLI
// does: one argument is shell text as it is; of several, those with spaces or
// quotes stay one word. Variables are the remote shell's to expand.
func RemoteCommand(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	words := make([]string, len(args))
	for i, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'") {
			arg = `"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`
		}
		words[i] = arg
	}
	return strings.Join(words, " ")
}

type runCommand struct {
	oneOff
	noTTY bool
}

func (c *CLI) run() *cobra.Command {
	r := &runCommand{oneOff: oneOff{target: target{CLI: c}}}
	cmd := &cobra.Command{
		Use: "run [FLAGS] COMMAND...", Short: "Run a command in a one-off dyno, attached to this terminal",
		Long: `Run a command in a one-off dyno with the app's code and config, attached to
this terminal. Its exit code is that of the command. Input can be piped in.
It ends after 24 hours at most.
Flags for hoist stand before the command; --app and --remote may also stand
at its end. A command that ends so itself stands behind --.`,
		Example: "$ hoist run bash\n$ hoist run bash -a my-app\n$ hoist run -a my-app -- bin/migrate --all -a all\n$ hoist run 'wc -l' < data.csv",
		Args:    args(cobra.MinimumNArgs(1)),
	}
	cmd.RunE = r.on(r.attached)
	r.flags(cmd)
	cmd.Flags().BoolVar(&r.noTTY, "no-tty", false, "no terminal for the command")
	return cmd
}

func (r *runCommand) attached(ctx context.Context, args []string) error {
	body, err := r.request(args, true)
	if err != nil {
		return err
	}
	t := r.terminal(r.noTTY)
	env := body["env"].(map[string]string)
	for name, value := range t.env {
		if _, given := env[name]; !given {
			env[name] = value
		}
	}
	body["force_no_tty"] = !t.tty

	stop := r.spin(fmt.Sprintf("Running %s attached to terminal... ", body["command"]))
	var d dyno
	if err := r.api.post(ctx, r.path("dynos"), body, &d); err != nil {
		stop()
		r.say("!")
		return err
	}
	conn, err := r.dial(ctx, d)
	stop()
	if err != nil {
		r.say("!")
		return r.cannotAttach(ctx, d, err)
	}
	r.say("up, %s", d.Name)
	if err := t.relay(ctx, conn); err != nil {
		return err
	}
	return r.exit(ctx, d)
}

// dial meets the dyno at its attach URL, rendezvous://HOST:PORT/SECRET; it
// returns when the dyno runs.
func (r *runCommand) dial(ctx context.Context, d dyno) (stream, error) {
	u, err := url.Parse(d.AttachURL)
	if err != nil || u.Scheme != "rendezvous" || u.Port() == "" {
		return nil, fmt.Errorf("The platform gave no way to attach to %s.", d.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	cfg := r.api.tls.Clone()
	cfg.ServerName = u.Hostname()
	return rendezvous.DialTLS(ctx, localhost(u.Host), strings.TrimPrefix(u.Path, "/"), cfg)
}

// cannotAttach stops a dyno that nobody can reach, and says why.
func (r *runCommand) cannotAttach(ctx context.Context, d dyno, err error) error {
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	r.api.post(bye, r.path("dynos", d.Name, "actions", "stop"), struct{}{}, nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s did not start within %s. `hoist logs --dyno %s` may say why.", d.Name, bootPatience, d.Name)
	}
	if _, ok := hoist.AsError(err); ok {
		return err
	}
	if untrusted := r.api.untrusted(err); untrusted != nil {
		return untrusted
	}
	return fmt.Errorf("Can't attach to %s: %w", d.Name, err)
}

// exit ends the program as the dyno ended.
func (r *runCommand) exit(ctx context.Context, d dyno) error {
	// The row is written a moment after the stream ends.
	var last error
	for deadline := r.Now().Add(10 * time.Second); r.Now().Before(deadline); {
		var after dyno
		last = r.api.get(ctx, r.path("dynos", d.ID), &after)
		switch {
		case last == nil && after.ExitCode != nil && *after.ExitCode == 0:
			return nil
		case last == nil && after.ExitCode != nil && *after.ExitCode > 0:
			return exitCode(*after.ExitCode)
		case last == nil && after.ExitCode != nil:
			return fmt.Errorf("%s was lost: nobody can say how its command ended.", d.Name)
		case errors.Is(last, hoist.ErrNotFound):
			return fmt.Errorf("%s has ended, but the platform does not know how.", d.Name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	if last != nil {
		return last
	}
	return fmt.Errorf("The connection to %s was lost; it is being stopped.", d.Name)
}

type runDetachedCommand struct {
	oneOff
	json bool
}

func (c *CLI) runDetached() *cobra.Command {
	r := &runDetachedCommand{oneOff: oneOff{target: target{CLI: c}}}
	cmd := &cobra.Command{
		Use: "run:detached [FLAGS] COMMAND...", Short: "Run a command in a one-off dyno; its output goes to the log",
		Long: `Run a command in a one-off dyno with the app's code and config; its output goes
to the app's log. It ends after 24 hours at most.`,
		Example: "$ hoist run:detached bin/import", Args: args(cobra.MinimumNArgs(1)),
	}
	cmd.RunE = r.on(r.detached)
	r.flags(cmd)
	jsonFlag(cmd, &r.json)
	return cmd
}

func (r *runDetachedCommand) detached(ctx context.Context, args []string) error {
	body, err := r.request(args, false)
	if err != nil {
		return err
	}
	var d item[dyno]
	err = r.doing(fmt.Sprintf("Running %s on %s", body["command"], r.app), func() (string, error) {
		err := r.api.post(ctx, r.path("dynos"), body, &d)
		return d.V.Name, err
	})
	if err != nil {
		return err
	}
	if r.json {
		return r.printJSON(d)
	}
	r.say("Run hoist logs --app %s --dyno %s to view the output.", r.app, d.V.Name)
	return nil
}

// terminal describes the person's terminal for the remote command.
func (c *CLI) terminal(noTTY bool) *terminal {
	t := &terminal{in: c.In, out: c.Out, tty: !noTTY && isTerminal(c.In) && isTerminal(c.Out), env: map[string]string{}}
	if !t.tty {
		return t
	}
	t.env["TERM"] = c.Env("TERM")
	if width, height, err := term.GetSize(int(c.Out.(*os.File).Fd())); err == nil {
		t.env["COLUMNS"], t.env["LINES"] = strconv.Itoa(width), strconv.Itoa(height)
	}
	return t
}
