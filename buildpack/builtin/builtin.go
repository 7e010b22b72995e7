// Package builtin holds the buildpacks that are part of the platform: Go,
// Node.js, static sites, and apps that need no compilation.
package builtin

import (
	"strings"

	"github.com/hoist-sh/hoist/buildpack"
)

// Named is a buildpack and what people call it.
type Named struct {
	Name      string
	Aliases   []string // Heroku's names for the same thing
	Buildpack buildpack.Buildpack
}

// All lists the built-in buildpacks in the order in which they are tried.
var All = []Named{
	{"hoist/go", []string{"heroku/go", "go"}, Go{}},
	{"hoist/node", []string{"heroku/nodejs", "hoist/nodejs", "nodejs", "node"}, Node{}},
	{"hoist/static", []string{"heroku/static", "heroku-community/static", "static"}, Static{}},
	{"hoist/procfile", []string{"heroku/procfile", "procfile"}, Procfile{}},
}

// Find returns the built-in buildpack of that name, in any of the forms in
// which Heroku's clients write it.
func Find(name string) (buildpack.Buildpack, bool) {
	name = strings.TrimPrefix(name, "urn:buildpack:")
	for _, p := range All {
		if p.Name == name {
			return p.Buildpack, true
		}
		for _, a := range p.Aliases {
			if a == name {
				return p.Buildpack, true
			}
		}
	}
	return nil, false
}
