package api

import (
	"context"
	"net/url"
	"path"
	"regexp"
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
	var chosen []string
	for _, u := range in.Updates {
		chosen = append(chosen, u.Buildpack)
	}
	list, err := parseBuildpacks(chosen)
	if err != nil {
		return nil, err
	}
	if err := s.DB.SetBuildpackInstallations(c.Context(), a.ID, list); err != nil {
		return nil, err
	}
	return showBuildpacks(list), nil
}

// builtIn is the short name of a buildpack that comes with the platform, which
// takes the place of Heroku's of the same language. Heroku's CLI writes
// urn:buildpack: before it.
var builtIn = regexp.MustCompile(`^(?:urn:buildpack:)?(?:hoist|heroku)/([a-z][a-z0-9-]*)$`)

// parseBuildpacks reads short names and URLs of buildpacks.
func parseBuildpacks(chosen []string) ([]hoist.BuildpackInstallation, error) {
	if len(chosen) > buildpacksMost {
		return nil, hoist.Invalid("An app may have %d buildpacks.", buildpacksMost)
	}
	var list []hoist.BuildpackInstallation
	for i, text := range chosen {
		b := hoist.BuildpackInstallation{Ordinal: i, URL: text, Name: text}
		if m := builtIn.FindStringSubmatch(text); m != nil {
			b.URL = "hoist/" + m[1]
			b.Name = strings.TrimPrefix(text, "urn:buildpack:")
		} else if u, err := url.Parse(text); err == nil && len(text) <= 2000 && u.Host != "" &&
			(u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "git") {
			b.Name = strings.TrimSuffix(path.Base(u.Path), ".git")
		} else {
			return nil, hoist.Invalid("buildpack: %.100q is neither a built-in buildpack such as hoist/go nor the URL of a git repository or tar archive.", text)
		}
		list = append(list, b)
	}
	return list, nil
}
