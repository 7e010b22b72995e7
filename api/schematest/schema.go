// Package schematest checks exchanges with the Platform API against Heroku's
// own JSON schema, which comes with the module heroku-go.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const module = "github.com/heroku/heroku-go/v6"

// Schema is the Platform API's schema: its links, ready to check.
type Schema struct {
	links []*link
}

// link is one thing that can be done: an endpoint with what goes in and what
// comes out.
type link struct {
	Resource, Title string
	Method, Path    string // placeholders as {}
	pattern         *regexp.Regexp
	request         *jsonschema.Schema // nil if it takes no body
	response        *jsonschema.Schema // nil if nothing is said of it
}

// Name is unique among links: "app Create: POST /apps".
func (l *link) Name() string {
	return fmt.Sprintf("%s %s: %s %s", l.Resource, l.Title, l.Method, l.Path)
}

// Load reads the schema from the module cache.
func Load() (*Schema, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m %s: %w", module, err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema.json"))
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// description is what is read of the schema beside JSON schema itself.
type description struct {
	Definitions map[string]struct {
		Links []struct {
			Href, Method, Title  string
			Schema, TargetSchema any
		}
	}
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func parse(text []byte) (*Schema, error) {
	var d description
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	requests, err := compiler(text, patchRequests)
	if err != nil {
		return nil, err
	}
	responses, err := compiler(text, patchResponses)
	if err != nil {
		return nil, err
	}
	s := &Schema{}
	for name, definition := range d.Definitions {
		for i, l := range definition.Links {
			href, err := url.PathUnescape(l.Href)
			if err != nil {
				return nil, err
			}
			path := placeholder.ReplaceAllString(href, "{}")
			pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(path), `\{\}`, "[^/]+") + "$"
			made := &link{Resource: name, Title: l.Title, Method: l.Method, Path: path, pattern: regexp.MustCompile(pattern)}
			at := fmt.Sprintf("#/definitions/%s/links/%d/", name, i)
			if l.Schema != nil {
				if made.request, err = requests.Compile(documentURL + at + "schema"); err != nil {
					return nil, err
				}
			}
			if l.TargetSchema != nil {
				if made.response, err = responses.Compile(documentURL + at + "targetSchema"); err != nil {
					return nil, err
				}
			}
			s.links = append(s.links, made)
		}
	}
	slices.SortFunc(s.links, func(a, b *link) int {
		if n := strings.Count(a.Path, "{}") - strings.Count(b.Path, "{}"); n != 0 {
			return n
		}
		return strings.Compare(a.Name(), b.Name())
	})
	return s, nil
}

const documentURL = "heroku.json"

// compiler makes a compiler for the schema, changed by a patch.
func compiler(text []byte, patch func(node map[string]any)) (*jsonschema.Compiler, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	root := doc.(map[string]any)
	patchNames(root)
	walk(root, func(node map[string]any) {
		delete(node, "$schema") // a hyper-schema nobody serves
		patch(node)
		if list, ok := node["required"].([]any); ok && len(list) == 0 {
			delete(node, "required") // draft 4 wants one at least
		}
	})
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.AssertFormat()
	return c, c.AddResource(documentURL, root)
}

func walk(v any, patch func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			walk(child, patch)
		}
		patch(v)
	case []any:
		for _, child := range v {
			walk(child, patch)
		}
	}
}

// patchNames lifts what only heroku.com can keep: host names below
// herokuapp.com, regions of AWS. And a lookahead, which RE2 does not know.
func patchNames(root map[string]any) {
	definition := func(resource, name string) map[string]any {
		definitions := root["definitions"].(map[string]any)[resource].(map[string]any)["definitions"].(map[string]any)
		return definitions[name].(map[string]any)
	}
	delete(definition("space", "name"), "pattern")
	delete(definition("app", "git_url"), "pattern")
	delete(definition("app", "web_url"), "pattern")
	delete(definition("domain", "hostname"), "format") // "uri", which no host name is
	walk(definition("region", "provider"), func(node map[string]any) { delete(node, "enum") })
}

// own are properties that hoist's API shows beside Heroku's.
var own = map[string]bool{"ssh_git_url": true, "exit_code": true, "reason": true}

// patchResponses makes strictProperties, a word of Heroku's, mean what it does
// there: all properties are present, and no others but our own.
func patchResponses(node map[string]any) {
	properties, ok := node["properties"].(map[string]any)
	if !ok || node["strictProperties"] != true {
		return
	}
	required := []any{}
	for name := range properties {
		required = append(required, name)
	}
	node["required"] = required
	for name := range own {
		if properties[name] == nil {
			properties[name] = map[string]any{}
		}
	}
	node["additionalProperties"] = false
}

// patchRequests allows what Heroku's own CLI sends and the schema forbids:
// quantities as text ("2", "+1") and sizes by name, adding a domain without an
// SNI endpoint, and a terminal's size as numbers in a dyno's environment.
func patchRequests(node map[string]any) {
	properties, ok := node["properties"].(map[string]any)
	if !ok {
		return
	}
	if _, ok := properties["quantity"]; ok {
		properties["quantity"] = map[string]any{"type": []any{"integer", "string", "null"}}
		properties["size"] = map[string]any{"type": []any{"string", "null"}}
		delete(properties, "dyno_size")
		delete(node, "additionalProperties")
	}
	if _, ok := properties["sni_endpoint"]; ok {
		delete(node, "required")
	}
	if _, ok := properties["force_no_tty"]; ok {
		properties["env"] = map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []any{"string", "number"}}}
	}
}
