package api

import (
	"strings"

	"github.com/hoist-sh/hoist"
)

func emptyList(*call) (any, error) { return []any{}, nil }

// absentRoutes answer for what this platform does not have yet but clients ask
// for on the way to what it has: lists of it are empty, single ones not found.
func (s *Server) absentRoutes(on func(string, handler), onApp func(string, string, appHandler)) {
	for _, path := range strings.Fields(`/teams /addons /addon-attachments /addon-services /pipelines /pipeline-couplings
		/account/features /account/app-transfers /enterprise-accounts /spaces /users/{user}/addons`) {
		on("GET "+path, emptyList)
	}
	for _, path := range strings.Fields(`/addons /addon-attachments /sni-endpoints /features /log-drains /webhooks`) {
		onApp("GET", path, func(*call, hoist.App) (any, error) { return []any{}, nil })
	}
	for path, what := range map[string]string{
		"/pipeline-couplings": "pipeline coupling", "/features/{name}": "feature", "/addons/{name}": "add-on",
		"/addon-attachments/{name}": "add-on attachment",
	} {
		onApp("GET", path, func(*call, hoist.App) (any, error) { return nil, hoist.NotFound(what) })
	}
	for path, what := range map[string]string{
		"/teams/{name}": "team", "/account/features/{name}": "feature", "/addons/{name}": "add-on", "/pipelines/{name}": "pipeline",
	} {
		on("GET "+path, func(*call) (any, error) { return nil, &resourceError{hoist.NotFound(what), what} })
	}
}
