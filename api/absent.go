package api

import (
	"strings"

	"github.com/hoist-sh/hoist"
)

func emptyList(*call) (any, error) { return []any{}, nil }

// absentRoutes answer for what this platform does not have yet but clients ask
// for on the way to what it has: lists of it are empty, single ones not found,
// and who wants to make one is told that it is not to be had.
func (s *Server) absentRoutes(on func(string, handler), onApp func(string, string, appHandler)) {
	for _, path := range strings.Fields(`/teams /addons /addon-attachments /addon-services /pipelines /pipeline-couplings
		/account/features /account/app-transfers /enterprise-accounts /spaces /users/{user}/addons /oauth/clients /oauth/sessions`) {
		on("GET "+path, emptyList)
	}
	for _, path := range strings.Fields(`/addons /addon-attachments /sni-endpoints /features /log-drains /webhooks /telemetry-drains`) {
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
	for path, what := range map[string]string{
		"/addons": "add-ons", "/log-drains": "log drains", "/webhooks": "webhooks", "/oci-images": "deploys of images",
		"/sni-endpoints": "certificates of single apps", "/acm": "certificates of single apps",
	} {
		onApp("POST", path, func(*call, hoist.App) (any, error) { return nil, noneYet(what) })
	}
	for path, what := range map[string]string{
		"/addon-attachments": "add-ons", "/pipelines": "pipelines", "/pipeline-couplings": "pipelines", "/review-apps": "review apps",
		"/teams": "teams", "/teams/apps": "teams", "/spaces": "private spaces", "/account/app-transfers": "transfers of apps",
		"/app-setups": "app setups", "/oauth/clients": "OAuth clients", "/telemetry-drains": "telemetry drains",
	} {
		on("POST "+path, func(*call) (any, error) { return nil, noneYet(what) })
	}
}

func noneYet(what string) error {
	e, _ := hoist.AsError(hoist.NotFound(what))
	e.Message = "There are no " + what + " on hoist yet."
	return e
}
