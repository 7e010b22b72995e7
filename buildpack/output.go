package buildpack

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Output prints a build the way Heroku does: steps behind arrows, all else
// indented by seven columns. It may be used by several goroutines.
type Output struct {
	mu sync.Mutex
	w  io.Writer
}

// NewOutput returns an Output that writes to w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

const indent = "       "

// Step starts a new step: "-----> Compiling".
func (o *Output) Step(format string, args ...any) { o.print("-----> ", format+"\n", args) }

// Begin starts a step whose line End completes: "-----> Compressing...".
func (o *Output) Begin(format string, args ...any) { o.print("-----> ", format, args) }

// End completes the line of Begin.
func (o *Output) End(format string, args ...any) { o.print("", format+"\n", args) }

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
	fmt.Fprintf(o.w, prefix+format, args...)
}

// Write passes output of a buildpack through unchanged.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
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
