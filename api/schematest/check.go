package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is one request and its response.
type Exchange struct {
	Method, Path string
	Request      []byte
	Status       int
	Header       http.Header
	Response     []byte
}

// Check returns the names of the links that an exchange covers and what is
// wrong with it. Requests are checked only where the server accepted them, and
// errors for their form. An endpoint that is not in the schema has no link.
func (s *Schema) Check(x Exchange) (covered, wrong []string) {
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s %s: %d: ", x.Method, x.Path, x.Status)+fmt.Sprintf(format, args...))
	}
	if x.Header.Get("Request-Id") == "" {
		say("no Request-Id")
	}
	if x.Status == http.StatusNotModified {
		return nil, wrong
	}
	if !strings.HasPrefix(x.Header.Get("Content-Type"), "application/json") {
		say("Content-Type is %q, not JSON", x.Header.Get("Content-Type"))
		return nil, wrong
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.Response))
	if err != nil {
		say("the body is not JSON: %v", err)
		return nil, wrong
	}
	if x.Status >= 400 {
		var e struct{ ID, Message string }
		if json.Unmarshal(x.Response, &e) != nil || e.ID == "" || e.Message == "" {
			say("an error without id or message: %s", x.Response)
		}
		return nil, wrong
	}
	if x.Status == http.StatusPartialContent && x.Header.Get("Next-Range") == "" {
		say("no Next-Range")
	}
	links := s.find(x.Method, x.Path)
	if len(links) == 0 {
		return nil, wrong
	}
	l, err := requested(links, x.Request)
	if err != nil {
		say("request to %s: %v", l.Name(), err)
	}
	if l.response != nil {
		if err := l.response.Validate(answer); err != nil {
			say("response of %s: %v", l.Name(), err)
		}
	}
	return []string{l.Name()}, wrong
}

// find returns the links of the most exact path that matches: one, or several
// that differ by what is sent.
func (s *Schema) find(method, path string) []*link {
	var links []*link
	for _, l := range s.links {
		if l.Method == method && l.pattern.MatchString(path) && (links == nil || links[0].Path == l.Path) {
			links = append(links, l)
		}
	}
	return links
}

// requested returns the link whose request schema the body fits, or the first
// and why it does not.
func requested(links []*link, body []byte) (*link, error) {
	var first error
	for _, l := range links {
		err := l.checkRequest(body)
		if err == nil {
			return l, nil
		}
		if first == nil {
			first = err
		}
	}
	return links[0], first
}

func (l *link) checkRequest(body []byte) error {
	if l.request == nil {
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return l.request.Validate(v)
}
