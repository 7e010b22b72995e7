package schematest

import (
	"net/http"
	"path/filepath"
	"testing"
)

func load(t *testing.T) *Schema {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSchemaHasAllItsLinks(t *testing.T) {
	if n := len(load(t).links); n != 305 {
		t.Errorf("%d links", n)
	}
}

func TestAWrongResponseIsFound(t *testing.T) {
	s := load(t)
	header := http.Header{"Content-Type": {"application/json"}, "Request-Id": {"x"}}
	for _, c := range []struct {
		name    string
		x       Exchange
		covered int
		wrong   int
	}{
		{"right", Exchange{Method: "GET", Path: "/account/rate-limits", Status: 200, Header: header, Response: []byte(`{"remaining":1}`)}, 1, 0},
		{"a wrong type", Exchange{Method: "GET", Path: "/account/rate-limits", Status: 200, Header: header, Response: []byte(`{"remaining":"1"}`)}, 1, 1},
		{"a property missing", Exchange{Method: "GET", Path: "/account/rate-limits", Status: 200, Header: header, Response: []byte(`{}`)}, 1, 1},
		{"one too many", Exchange{Method: "GET", Path: "/account/rate-limits", Status: 200, Header: header, Response: []byte(`{"remaining":1,"x":1}`)}, 1, 1},
		{"not JSON", Exchange{Method: "GET", Path: "/account", Status: 200, Header: header, Response: []byte(`<html>`)}, 0, 1},
		{"an error without a message", Exchange{Method: "GET", Path: "/account", Status: 404, Header: header, Response: []byte(`{"id":"not_found"}`)}, 0, 1},
		{"an accepted request that the schema forbids", Exchange{Method: "POST", Path: "/apps/x/log-drains", Request: []byte(`{}`), Status: 404, Header: header, Response: []byte(`{"id":"a","message":"b"}`)}, 0, 0},
		{"an unknown endpoint", Exchange{Method: "GET", Path: "/nowhere", Status: 200, Header: header, Response: []byte(`{}`)}, 0, 0},
	} {
		covered, wrong := s.Check(c.x)
		if len(covered) != c.covered || len(wrong) != c.wrong {
			t.Errorf("%s: covered %q, wrong %q", c.name, covered, wrong)
		}
	}
}

func TestReportsAddUpInAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.json")
	for range 2 {
		r := Report{Links: 305, Exchanges: 3, Covered: map[string]int{"a": 1}, Wrong: []string{"x"}}
		if err := r.WriteFile(name); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ReadFiles(name)
	if err != nil || r.Exchanges != 6 || r.Covered["a"] != 2 || len(r.Wrong) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}
