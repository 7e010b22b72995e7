package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/hoist-sh/hoist"
)

// bodyLimit is the largest request body, in bytes.
const bodyLimit = 1 << 20

// call is one authenticated request.
type call struct {
	*http.Request
	account hoist.Account
	auth    hoist.Authorization
	token   string // the one presented; empty for a password
}

// reply is a handler's answer when it is not plainly 200.
type reply struct {
	status int
	header http.Header
	body   any
}

func created(body any) reply { return reply{status: http.StatusCreated, body: body} }

// decode reads the JSON body into v. No body is an empty object; unknown
// fields are ignored; a wrong type is an error that names the field.
func (c *call) decode(v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.Body, bodyLimit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &hoist.Error{ID: "too_large", Status: http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The request's body is larger than %d bytes.", bodyLimit)}
	case err != nil:
		return badRequest("The request's body ended early.")
	}
	err = decodeJSON(body, v)
	if e, ok := hoist.AsError(err); ok && e.Status == http.StatusBadRequest && strings.HasPrefix(c.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return badRequest("The request's body must be JSON, not a form, such as {\"name\": \"my-app\"} with Content-Type: application/json.")
	}
	return err
}

func decodeJSON(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return hoist.Invalid("%s: expected %s, not %s.", fieldName(wrong.Field), jsonType(wrong.Type), wrong.Value)
		}
		if e, ok := hoist.AsError(err); ok {
			return e
		}
		return badRequest("The request's body is not valid JSON: " + err.Error())
	}
	// NUL is valid in JSON but not in the database's texts.
	if bytes.Contains(body, []byte(`\u0000`)) && holdsNUL(body) {
		return hoist.Invalid("Values must not contain NUL characters.")
	}
	return nil
}

// jsonType is what JSON calls the values that fit a type of Go's.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

func fieldName(path string) string {
	if path == "" {
		return "The request's body"
	}
	return path
}

// holdsNUL reports whether a string in valid JSON contains NUL.
func holdsNUL(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if s, ok := token.(string); ok && strings.ContainsRune(s, 0) {
			return true
		}
	}
}

func badRequest(message string) error {
	return &hoist.Error{ID: "bad_request", Message: message, Status: http.StatusBadRequest}
}

func forbidden(message string) error {
	return &hoist.Error{ID: "forbidden", Message: message, Status: http.StatusForbidden}
}
