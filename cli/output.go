package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// SGR codes of the colours used.
const (
	red  = "31"
	cyan = "36"
	bold = "1"
)

// isTerminal reports whether a stream is a person's terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// paint colours text if w is a terminal and the person wants colours
// (https://no-color.org).
func (c *CLI) paint(w io.Writer, colour, text string) string {
	if !c.colours(w) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (c *CLI) colours(w io.Writer) bool {
	return isTerminal(w) && c.Env("NO_COLOR") == "" && c.Env("TERM") != "dumb"
}

// head prints a heading in Heroku's form.
func (c *CLI) head(format string, args ...any) {
	fmt.Fprintf(c.Out, "%s %s\n\n", c.paint(c.Out, cyan, "==="), c.paint(c.Out, bold, fmt.Sprintf(format, args...)))
}

// print prints lines for people and programs.
func (c *CLI) print(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

// say prints a remark, on standard error: it is no result.
func (c *CLI) say(format string, args ...any) { fmt.Fprintf(c.Err, format+"\n", args...) }

// printJSON prints what the API answered, indented.
func (c *CLI) printJSON(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// columns prints rows in aligned columns.
func (c *CLI) columns(rows [][]string) { writeColumns(c.Out, rows) }

func writeColumns(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-width(cell)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// width is how many characters a text has on the screen, colours apart.
func width(text string) int { return utf8.RuneCountInString(sgr.ReplaceAllString(text, "")) }

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// doing says what is being done while f does it, then "done" and what f
// returns: "Restarting web.1... done". A terminal gets a spinner meanwhile.
func (c *CLI) doing(what string, f func() (result string, err error)) error {
	stop := c.spin(what + "... ")
	result, err := f()
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(c.Err, c.paint(c.Err, red, "!"))
	case result != "":
		fmt.Fprintln(c.Err, "done, "+result)
	default:
		fmt.Fprintln(c.Err, "done")
	}
	return err
}

// spin prints text and, on a terminal, a spinner behind it until the returned
// function is called; the cursor is then behind the text.
func (c *CLI) spin(text string) (stop func()) {
	fmt.Fprint(c.Err, text)
	if !isTerminal(c.Err) || c.Env("TERM") == "dumb" {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		frames := []rune("⣾⣷⣯⣟⡿⢿⣻⣽")
		for i := 0; ; i++ {
			select {
			case <-quit:
				fmt.Fprint(c.Err, "\x1b[K")
				return
			case <-tick.C:
				fmt.Fprintf(c.Err, "%c\b", frames[i%len(frames)])
			}
		}
	}()
	return func() { close(quit); <-done }
}
