package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/logs"
	"github.com/spf13/cobra"
)

const (
	// logSilence is how long a tail may say nothing at all, not even that it
	// is alive, before it is opened anew.
	logSilence = time.Minute
	logRetry   = time.Second
)

type logsCommand struct {
	target
	number       int
	tail         bool
	source, dyno string
	json         bool
	colours      bool
	shown        int // lines
}

func (c *CLI) logs() *cobra.Command {
	l := &logsCommand{target: target{CLI: c}}
	cmd := &cobra.Command{
		Use: "logs", Short: "Show an app's log",
		Long: `Show an app's log: the lines of its dynos, of the router and of the platform.

The platform has a component of the same name, which serves these lines. hoist
runs the component instead when the environment has DATABASE_URL and NATS_URL
and nothing follows the word "logs".`,
		Example: "$ hoist logs --tail\n$ hoist logs -n 500 --dyno web.1\n$ hoist logs --source heroku",
		Args:    args(cobra.NoArgs),
	}
	cmd.RunE = l.on(l.show)
	l.flags(cmd)
	cmd.Flags().IntVarP(&l.number, "num", "n", 100, fmt.Sprintf("how many lines of history, %d at most", hoist.LogKeep))
	cmd.Flags().BoolVarP(&l.tail, "tail", "t", false, "go on with new lines until ^C")
	cmd.Flags().StringVarP(&l.source, "source", "s", "", "only from this source: app or heroku")
	cmd.Flags().StringVarP(&l.dyno, "dyno", "d", "", "only from this dyno or process type")
	cmd.Flags().BoolVar(&l.json, "json", false, "print each line as JSON")
	cmd.RegisterFlagCompletionFunc("dyno", l.completeDynos)
	cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions([]string{"app", "heroku"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (l *logsCommand) show(ctx context.Context, _ []string) error {
	if l.number < 0 || l.number > hoist.LogKeep {
		return usagef("--num is from 0 to %d.", hoist.LogKeep)
	}
	if sources := []string{"app", "heroku"}; l.source != "" && !slices.Contains(sources, l.source) {
		return usagef("There is no source %s, only app (what dynos write) and heroku (router and platform).", l.source)
	}
	l.colours = l.CLI.colours(l.Out)
	if !l.tail {
		address, err := l.session(ctx)
		if err == nil {
			_, err = l.read(ctx, address, "")
		}
		if err == nil && l.shown == 0 && l.number > 0 {
			l.say("No such lines are kept of %s.", l.app)
		}
		return err
	}
	return l.follow(ctx)
}

// follow tails until ctx ends. Once it was connected it waits for what goes
// away and goes on where it was: a session is good for many connections, a
// place in the log for many sessions.
func (l *logsCommand) follow(ctx context.Context) error {
	address, place := "", ""
	connected, told, gone := false, false, false
	for {
		var err error
		if address == "" {
			address, err = l.session(ctx)
		}
		if err == nil {
			place, err = l.read(ctx, address, place)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			connected, told, gone = true, false, false
		case errors.Is(err, errSessionGone) && !gone:
			address, gone = "", true
		case !connected || refused(err):
			return err
		case !told:
			l.say(" !    The log is away (%v). Waiting for it.", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(logRetry):
		}
	}
}

// refused reports whether a request failed for good, not for now.
func refused(err error) bool {
	e, ok := hoist.AsError(err)
	return ok && e.Status/100 == 4 && e.Status != http.StatusTooManyRequests || errors.Is(err, errSessionGone)
}

var (
	errSessionGone = errors.New("The log session has ended. Run `hoist logs` again.")
	errSilence     = fmt.Errorf("nothing came for %s", logSilence)
)

// session makes a log session and returns its URL.
func (l *logsCommand) session(ctx context.Context) (string, error) {
	body := map[string]any{"lines": l.number, "tail": l.tail}
	if l.source != "" {
		body["source"] = l.source
	}
	if l.dyno != "" {
		body["dyno"] = l.dyno
	}
	var s struct {
		URL string `json:"logplex_url"`
	}
	err := l.api.post(ctx, l.path("log-sessions"), body, &s)
	return s.URL, err
}

// read prints what a session's URL sends after a place in the stream until it
// ends, and returns the new place.
func (l *logsCommand) read(ctx context.Context, address, place string) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return place, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if place != "" {
		req.Header.Set("Last-Event-ID", place)
	}
	res, err := l.api.http.Do(req) // without our token: the URL is the secret
	if err != nil {
		return place, l.api.unreachable(ctx, err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return place, errSessionGone
	case res.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return place, &hoist.Error{ID: "logs", Message: strings.TrimSpace(string(text)), Status: res.StatusCode}
	}
	silence := time.AfterFunc(logSilence, func() { cancel(errSilence) })
	defer silence.Stop()
	place, err = readEvents(res.Body, place, func() { silence.Reset(logSilence) }, l.line)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return place, err
}

// line prints one line of the log.
func (l *logsCommand) line(text string) {
	l.shown++
	parsed, err := logs.Parse(text)
	switch {
	case l.json && err == nil:
		l.print(`{"time":%s,"source":%s,"dyno":%s,"text":%s}`, jsonText(parsed.Time.Format(time.RFC3339Nano)),
			jsonText(parsed.Source), jsonText(parsed.Dyno), jsonText(parsed.Text))
	case l.colours && err == nil:
		head := text[:len(text)-len(parsed.Text)]
		l.print("\x1b[%sm%s\x1b[0m%s", dynoColour(parsed), head, parsed.Text)
	default:
		l.print("%s", text)
	}
}

// dynoColour gives each dyno a colour that stays.
func dynoColour(line hoist.LogLine) string {
	colours := []string{"33", "32", "36", "35", "34", "93", "92", "96", "95", "94"}
	h := fnv.New32a()
	io.WriteString(h, line.Dyno)
	return colours[h.Sum32()%uint32(len(colours))]
}
