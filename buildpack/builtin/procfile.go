package builtin

import (
	"context"

	"github.com/hoist-sh/hoist/buildpack"
)

// Procfile is the buildpack of apps that run as they are.
type Procfile struct{}

// Detect knows an app by its Procfile.
func (Procfile) Detect(_ context.Context, b *buildpack.Build) (string, error) {
	if b.Has("Procfile") {
		return "Procfile", nil
	}
	return "", nil
}

// Compile does nothing.
func (Procfile) Compile(context.Context, *buildpack.Build) error { return nil }

// Release has no defaults.
func (Procfile) Release(context.Context, *buildpack.Build) (buildpack.Release, error) {
	return buildpack.Release{}, nil
}
