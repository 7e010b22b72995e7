package hoist

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an error a user sees: the Platform API's `{id, message}` with its
// HTTP status (https://devcenter.heroku.com/articles/platform-api-reference#errors).
type Error struct {
	ID      string
	Message string
	Status  int
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is match by ID.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.ID == e.ID
}

// Errors to compare with and to return as they are.
var (
	ErrNotFound     = &Error{"not_found", "Couldn't find that.", http.StatusNotFound}
	ErrUnauthorized = &Error{"unauthorized", "Invalid credentials provided.", http.StatusUnauthorized}
	ErrConflict     = &Error{"conflict", "Somebody else changed this meanwhile; try again.", http.StatusConflict}
	ErrCorrupt      = &Error{"blob_corrupt", "The blob is damaged on disk: its checksum is wrong.", http.StatusInternalServerError}
)

// NotFound says what could not be found: NotFound("app").
func NotFound(what string) error {
	return &Error{"not_found", "Couldn't find that " + what + ".", http.StatusNotFound}
}

// Invalid says what is wrong with a value (422 invalid_params).
func Invalid(format string, args ...any) error {
	return &Error{"invalid_params", fmt.Sprintf(format, args...), http.StatusUnprocessableEntity}
}

// AsError returns the user's error within err, if there is one.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
