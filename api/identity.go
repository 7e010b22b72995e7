package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"
)

// identity is an ID or a name in a request; clients also send it as an object
// that holds one of them.
type identity string

// UnmarshalJSON implements json.Unmarshaler.
func (i *identity) UnmarshalJSON(text []byte) error {
	var object struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	switch text[0] {
	case '"', 'n':
		return json.Unmarshal(text, (*string)(i))
	case '{':
		if err := json.Unmarshal(text, &object); err != nil {
			return err
		}
		for _, v := range []string{object.Name, object.Email, object.ID} {
			if v != "" {
				*i = identity(v)
				return nil
			}
		}
		return nil
	}
	kind := "number"
	switch text[0] {
	case '[':
		kind = "array"
	case 't', 'f':
		kind = "bool"
	}
	return &json.UnmarshalTypeError{Value: kind, Type: reflect.TypeFor[string]()} // encoding/json adds the field
}

// is reports whether the identity is one of those.
func (i identity) is(these ...string) bool { return slices.Contains(these, string(i)) }

// sortableTime is a time in a form whose alphabetical order is that of time.
func sortableTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
