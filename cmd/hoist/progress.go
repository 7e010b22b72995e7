package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress is a line on a terminal that says how far something is; elsewhere
// nothing is written.
type progress struct {
	out   io.Writer
	on    bool
	shown time.Time
	what  string
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, on: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"}
}

// report shows what goes on, and how many bytes of how many are done; a total of
// 0 is not known.
func (p *progress) report(what string, done, total int64) {
	if !p.on || what == p.what && time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown, p.what = time.Now(), what
	if total > 0 {
		what = fmt.Sprintf("%s: %s of %s (%d %%)", what, bytesText(done), bytesText(total), 100*done/total)
	}
	fmt.Fprintf(p.out, "\r\x1b[K       %s", what)
}

// end removes the line.
func (p *progress) end() {
	if p.on {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// bytesText is a number of bytes for people: "512 B", "3.4 MB".
func bytesText(n int64) string {
	f, unit := float64(n), 0
	for f >= 1000 && unit < 5 {
		f, unit = f/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTP"[unit-1])
}
