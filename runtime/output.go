package runtime

import (
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
	dropped int       // since
	since   time.Time // the first of them
	report  *time.Timer
}

func (r *Runtime) newOutput(d hoist.Dyno) *output {
	return &output{r: r, dyno: d,
		keep: rate.NewLimiter(linesPerSecond, linesBurst),
		read: rate.NewLimiter(readPerSecond, readPerSecond),
	}
}

// line takes one line of any length, without its end.
func (o *output) line(line []byte) {
	for first := true; first || len(line) > 0; first = false {
		var part []byte
		part, line = split(line, hoist.LogLineLimit)
		now := time.Now()
		cost := 1 + len(part)/1000 // long lines count as several
		if !o.keep.AllowN(now, cost) || !o.r.append(o.dyno, "app", string(part)) {
			o.drop(now)
		}
		if wait := o.read.ReserveN(now, cost).DelayFrom(now); wait > 0 {
			time.Sleep(wait)
		}
	}
}

// split cuts line after limit bytes at most, not within a rune.
func split(line []byte, limit int) (part, rest []byte) {
	if len(line) <= limit {
		return line, nil
	}
	end := limit - hoist.PartialRune(line[:limit])
	return line[:end], line[end:]
}

func (o *output) drop(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped == 0 {
		o.since = now
		o.report = time.AfterFunc(reportEvery, o.flush)
	}
	o.dropped++
}

// flush says how many lines were dropped, if any.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dropped == 0 {
		return
	}
	o.report.Stop()
	text := fmt.Sprintf("Error L10 (output buffer overflow): %d messages dropped since %s.",
		o.dropped, o.since.UTC().Format("2006-01-02T15:04:05-07:00"))
	if o.r.say(o.dyno, text) {
		o.dropped = 0
	} else {
		o.report = time.AfterFunc(reportEvery, o.flush)
	}
}

// say writes a line of the platform about a dyno to its app's log.
func (r *Runtime) say(d hoist.Dyno, text string) bool { return r.append(d, "heroku", text) }

func (r *Runtime) append(d hoist.Dyno, source, text string) bool {
	data, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: source, Dyno: d.Name(), Text: text})
	return err == nil && r.bus.Append(hoist.StreamLogs+d.AppID, data)
}
