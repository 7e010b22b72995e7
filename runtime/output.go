package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/time/rate"
)

// Limits of one dyno's output. Beyond linesPerSecond lines are dropped and
// counted; beyond readPerSecond the dyno waits, so that reading what is
// dropped anyway takes no CPU from others.
const (
	linesPerSecond = 1000
	linesBurst     = 5000
	readPerSecond  = 20_000
	reportEvery    = time.Second
)

// output takes a dyno's lines to its app's log.
type output struct {
	r    *Runtime
	dyno hoist.Dyno
	keep *rate.Limiter
	read *rate.Limiter

	mu      sync.Mutex
	dropped int       // by keep, since
	since   time.Time // the first of them
	report  *time.Timer
}

func (r *Runtime) newOutput(d hoist.Dyno) *output {
	return &output{r: r, dyno: d,
		keep: rate.NewLimiter(linesPerSecond, linesBurst),
		read: rate.NewLimiter(readPerSecond, readPerSecond),
	}
}

// Line implements hoist.Output.
func (o *output) Line(at hoist.Place, line []byte) {
	now := time.Now()
	cost := 1 + len(line)/1000 // long lines count as several
	if o.keep.AllowN(now, cost) {
		o.r.append(o.dyno, "app", at, string(line))
	} else {
		o.drop(now)
	}
	if wait := o.read.ReserveN(now, cost).DelayFrom(now); wait > 0 {
		time.Sleep(wait)
	}
}

// Flush implements hoist.Output.
func (o *output) Flush(ctx context.Context) error { return o.r.bus.Flush(ctx) }

// Lost implements hoist.Output.
func (o *output) Lost(n int) {
	o.r.say(o.dyno, fmt.Sprintf("Error L10 (output buffer overflow): up to %d messages dropped, as the runtime ended while the message bus was away.", n))
}

func (o *output) drop(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped == 0 {
		o.since = now
		o.report = time.AfterFunc(reportEvery, o.confess)
	}
	o.dropped++
}

// confess says how many lines were dropped, if any.
func (o *output) confess() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped == 0 {
		return
	}
	o.report.Stop()
	text := fmt.Sprintf("Error L10 (output buffer overflow): %d messages dropped since %s.",
		o.dropped, o.since.UTC().Format("2006-01-02T15:04:05-07:00"))
	if !o.r.say(o.dyno, text) {
		o.r.bus.Drop(hoist.StreamLogs+o.dyno.AppID, o.dropped-1) // it counted this line itself
	}
	o.dropped = 0
}

// say writes a line of the platform about a dyno to its app's log.
func (r *Runtime) say(d hoist.Dyno, text string) bool {
	return r.append(d, "heroku", hoist.Place{}, text)
}

func (r *Runtime) append(d hoist.Dyno, source string, at hoist.Place, text string) bool {
	data, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: source, Dyno: d.Name(), Text: text})
	return err == nil && r.bus.AppendAt(hoist.StreamLogs+d.AppID, at, data)
}
