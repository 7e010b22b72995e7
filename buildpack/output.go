package buildpack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Output prints a build the way Heroku does: steps behind arrows, all else
// indented by seven columns. It may be used by several goroutines.
type Output struct {
	mu      sync.Mutex
	w       io.Writer
	open    bool      // the last line has no end yet
	cut     bool      // Begin's line was ended by Watch
	spoke   time.Time // when something was said last
	step    string    // the last one
	stepped time.Time // when it began
}

// NewOutput returns an Output that writes to w.
func NewOutput(w io.Writer) *Output {
	now := time.Now()
	return &Output{w: w, spoke: now, stepped: now, step: "the build"}
}

// Watch says what is still running whenever nothing was said for the time given,
// until ctx ends: who waits sees that it goes on.
func (o *Output) Watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(min(every/4, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			o.mu.Lock()
			if now.Sub(o.spoke) >= every {
				o.remind(now)
			}
			o.mu.Unlock()
		}
	}
}

func (o *Output) remind(now time.Time) {
	if o.open {
		io.WriteString(o.w, "\n")
		o.cut = true
	}
	fmt.Fprintf(o.w, indent+"still running: %s (%s)\n", o.step, now.Sub(o.stepped).Round(time.Second))
	o.open, o.spoke = false, now
}

const indent = "       "

// Step starts a new step: "-----> Compiling".
func (o *Output) Step(format string, args ...any) {
	o.begins(format, args)
	o.print("-----> ", format+"\n", args)
}

// Begin starts a step whose line End completes: "-----> Compressing...".
func (o *Output) Begin(format string, args ...any) {
	o.begins(strings.TrimSuffix(format, "..."), args)
	o.print("-----> ", format, args)
}

// End completes the line of Begin.
func (o *Output) End(format string, args ...any) {
	prefix := ""
	o.mu.Lock()
	if o.cut {
		prefix = indent[1:]
	}
	o.mu.Unlock()
	o.print(prefix, format+"\n", args)
}

// stepKept is how much of a step's text is repeated, in characters.
const stepKept = 60

func (o *Output) begins(format string, args []any) {
	text := strings.TrimPrefix(fmt.Sprintf(format, args...), "Running: ")
	if r := []rune(strings.TrimSuffix(text, ":")); len(r) > stepKept {
		text = string(r[:stepKept-1]) + "…"
	} else {
		text = string(r)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.step, o.stepped, o.cut = text, time.Now(), false
}

// Info says something within a step.
func (o *Output) Info(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	o.print(indent, "%s\n", []any{strings.ReplaceAll(text, "\n", "\n"+indent)})
}

// Warn says what a person should look at: " !     …".
func (o *Output) Warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	o.print(" !     ", "%s\n", []any{strings.ReplaceAll(text, "\n", "\n !     ")})
}

func (o *Output) print(prefix, format string, args []any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.say(fmt.Appendf(nil, prefix+format, args...))
}

// say writes; o is locked.
func (o *Output) say(p []byte) (int, error) {
	if len(p) > 0 {
		o.open, o.spoke = p[len(p)-1] != '\n', time.Now()
	}
	return o.w.Write(p)
}

// Write passes output of a buildpack through unchanged.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.say(p)
}

// Indented returns a writer that indents the lines of a command's output.
// Close writes what is left of a last line without its end.
func (o *Output) Indented() io.WriteCloser { return &indented{out: o} }

type indented struct {
	out  *Output
	rest []byte
}

func (w *indented) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			break
		}
		w.line(w.rest[:i])
		w.rest = w.rest[i+1:]
	}
	if len(w.rest) > 16<<10 {
		w.line(w.rest)
		w.rest = nil
	}
	return len(p), nil
}

func (w *indented) line(l []byte) { w.out.Info("%s", bytes.TrimRight(l, "\r")) }

func (w *indented) Close() error {
	if len(w.rest) > 0 {
		w.line(w.rest)
		w.rest = nil
	}
	return nil
}

// HumanSize is a number of bytes as Heroku prints a slug's: 540K, 13M, 1.2G.
func HumanSize(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1fG", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%dM", (n+1<<19)>>20)
	case n >= 1<<20:
		return strings.Replace(fmt.Sprintf("%.1fM", float64(n)/(1<<20)), ".0M", "M", 1)
	default:
		return fmt.Sprintf("%dK", max(1, (n+512)>>10))
	}
}
