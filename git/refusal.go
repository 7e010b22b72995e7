package git

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/hoist-sh/hoist"
)

// refusal is an error whose text is for the person at the other end. All
// other errors are ours: they are logged, and the person is told that it was
// not their doing.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// forPeople is what the person at the other end is told of an error.
func forPeople(err error) string {
	if r, ok := errors.AsType[refusal](err); ok {
		return string(r)
	}
	if e, ok := hoist.AsError(err); errors.Is(err, syscall.ENOSPC) || ok && e.Status == http.StatusInsufficientStorage {
		return "The platform's disk is full. Nothing was changed; push again when who runs it has made room."
	}
	return "Something is wrong here, not with what you sent. Try again in a moment."
}

// bang marks each line of a message as Heroku's tools do.
func bang(text string) string {
	return " !     " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n !     ") + "\n"
}
