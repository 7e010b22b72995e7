package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

type buildpackDB interface {
	BuildpackInstallations(ctx context.Context, appID hoist.ID) ([]hoist.BuildpackInstallation, error)
	SetBuildpackInstallations(ctx context.Context, appID hoist.ID, list []hoist.BuildpackInstallation) error
}

// buildpacksMost is how many buildpacks an app may have.
const buildpacksMost = 20

type buildpackJSON struct {
	URL  string `json:"url"`
	Name string `json:"name"`
}

func (s *Server) buildpackRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/buildpack-installations", func(c *call, a hoist.App) (any, error) {
		list, err := s.DB.BuildpackInstallations(c.Context(), a.ID)
		return showBuildpacks(list), err
	})
	onApp("PUT", "/buildpack-installations", s.buildpackUpdate)
}

func showBuildpacks(list []hoist.BuildpackInstallation) any {
	type installation struct {
		Ordinal   int           `json:"ordinal"`
		Buildpack buildpackJSON `json:"buildpack"`
	}
	shown := []installation{}
	for _, b := range list {
		shown = append(shown, installation{b.Ordinal, buildpackJSON{b.URL, b.Name}})
	}
	return shown
}

func (s *Server) buildpackUpdate(c *call, a hoist.App) (any, error) {
	var in struct {
		Updates []struct {
			Buildpack string `json:"buildpack"`
		} `json:"updates"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Updates == nil { // an empty list clears
		return nil, hoist.Invalid("updates: say which buildpacks the app shall have, such as {\"updates\": [{\"buildpack\": \"hoist/go\"}]}.")
	}
	var chosen []string
	for _, u := range in.Updates {
		chosen = append(chosen, u.Buildpack)
	}
	list, err := s.parseBuildpacks(chosen)
	if err != nil {
		return nil, err
	}
	if err := s.DB.SetBuildpackInstallations(c.Context(), a.ID, list); err != nil {
		return nil, err
	}
	return showBuildpacks(list), nil
}

// parseBuildpacks reads names of built-in buildpacks and URLs of others.
// Heroku's CLI may write urn:buildpack: before a name.
func (s *Server) parseBuildpacks(chosen []string) ([]hoist.BuildpackInstallation, error) {
	if len(chosen) > buildpacksMost {
		return nil, hoist.Invalid("An app may have %d buildpacks.", buildpacksMost)
	}
	var list []hoist.BuildpackInstallation
	for i, text := range chosen {
		b := hoist.BuildpackInstallation{Ordinal: i, URL: text}
		u, err := url.Parse(text)
		if name, ok := s.BuiltIn[strings.TrimPrefix(text, "urn:buildpack:")]; ok {
			b.URL, b.Name = name, name
		} else if err == nil && len(text) <= 2000 && u.Host != "" && slices.Contains([]string{"https", "http", "git"}, u.Scheme) {
			b.Name = strings.TrimSuffix(path.Base(u.Path), ".git")
		} else {
			return nil, hoist.Invalid("buildpack: %.100q is neither built in (%s) nor the URL of a git repository or tar archive.",
				text, strings.Join(s.builtInNames(), ", "))
		}
		list = append(list, b)
	}
	return list, nil
}

func (s *Server) builtInNames() []string {
	return slices.Compact(slices.Sorted(maps.Values(s.BuiltIn)))
}

// buildpackRegistry is where Heroku's CLI looks short names up, when
// HEROKU_BUILDPACK_REGISTRY_URL leads it here.
func (s *Server) buildpackRegistry(w http.ResponseWriter, r *http.Request) {
	name, ok := s.BuiltIn[r.PathValue("name")]
	if !ok {
		s.fail(w, r, hoist.NotFound("buildpack"))
		return
	}
	s.respond(w, r, map[string]string{"id": constantID("buildpack", name), "name": name, "blob_url": name}, nil)
}
