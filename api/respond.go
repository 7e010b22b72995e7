package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
)

// respond writes what a handler returned: JSON always, with an ETag for what
// was read.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer, ok := v.(reply)
	if !ok {
		answer = reply{status: http.StatusOK, body: v}
	}
	body, err := json.Marshal(answer.body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:16]) + `"`
		w.Header().Set("ETag", tag)
		if matches(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	writeJSON(w, answer.status, body)
}

// matches compares an If-None-Match header (RFC 9110, 13.1.2) with a tag.
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == tag || candidate == "*" {
			return true
		}
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// fail writes an error as `{id, message}`. What is not meant for users is
// logged with the request's ID and told apart only as "we" or "the database".
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := hoist.AsError(err)
	if !ok {
		if r.Context().Err() != nil {
			return // nobody waits for the answer
		}
		ping, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if s.DB.Ping(ping) != nil {
			w.Header().Set("Retry-After", "3")
			e = &hoist.Error{ID: "unavailable", Status: http.StatusServiceUnavailable,
				Message: "The platform waits for its database. Try again in a few seconds."}
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				e.Message = "The platform waits for its database. This may or may not have been done: in a few seconds, look before you try again."
			}
		} else {
			id := w.Header().Get("Request-Id")
			e = &hoist.Error{ID: "internal_server_error", Status: http.StatusInternalServerError,
				Message: "Something went wrong on our side. The log of the API has more, by request ID " + id + "."}
		}
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path,
			"request", w.Header().Get("Request-Id"), "err", err)
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="hoist"`)
	}
	var about *resourceError
	resource := ""
	if errors.As(err, &about) {
		resource = about.resource
	}
	body, _ := json.Marshal(struct {
		ID       string `json:"id"`
		Message  string `json:"message"`
		Resource string `json:"resource,omitempty"`
	}{e.ID, e.Message, resource})
	writeJSON(w, e.Status, body)
}

// resourceError names the kind of what an error is about, as some clients ask.
type resourceError struct {
	error
	resource string
}

func (e *resourceError) Unwrap() error { return e.error }

// timestamp is a time as the API writes it: UTC, in seconds.
type timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05Z"`)), nil
}

func optionalTime(t *time.Time) *timestamp { return (*timestamp)(t) }

// optional is null for an empty text.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// named is a reference to something with a name.
type named struct {
	ID   hoist.ID `json:"id"`
	Name string   `json:"name"`
}

// identified is a reference by ID alone.
type identified struct {
	ID hoist.ID `json:"id"`
}

func optionalRef(id hoist.ID) *identified {
	if id == "" {
		return nil
	}
	return &identified{id}
}

// userRef is a reference to an account.
type userRef struct {
	ID    hoist.ID `json:"id"`
	Email string   `json:"email"`
}

// constantID is the ID of something that has no row: the same for ever.
func constantID(kind, name string) hoist.ID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("hoist:"+kind+":"+name)).String()
}

func refTo(kind, name string) named { return named{constantID(kind, name), name} }
