package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"golang.org/x/term"
)

// ask reads the line that a person types behind a prompt; ^C ends it. The reader
// is given, as it may hold the answer to the next question already.
func (c *CLI) ask(ctx context.Context, prompt string, in *bufio.Reader) (string, error) {
	fmt.Fprint(c.Err, prompt)
	return interruptible(ctx, func() (string, error) { return in.ReadString('\n') })
}

// askSecret is ask without showing in a terminal what is typed.
func (c *CLI) askSecret(ctx context.Context, prompt string, in *bufio.Reader) (string, error) {
	if !isTerminal(c.In) {
		return c.ask(ctx, prompt, in)
	}
	fd := int(c.In.(*os.File).Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(c.Err, prompt)
	text, err := interruptible(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	if ctx.Err() != nil {
		term.Restore(fd, before) // what reads still hides what is typed
	} else {
		fmt.Fprintln(c.Err)
	}
	return text, err
}

// interruptible waits for a read that nothing else can end, or for the end of
// ctx: then the read is left behind, as the program ends.
func interruptible(ctx context.Context, read func() (string, error)) (string, error) {
	type line struct {
		text string
		err  error
	}
	done := make(chan line, 1)
	go func() {
		text, err := read()
		done <- line{text, err}
	}()
	select {
	case l := <-done:
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
