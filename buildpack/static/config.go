// Package static is hoist-static: a web server for the files of a site.
package static

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/hoist-sh/hoist/buildpack/appfile"
)

// ConfigFile is the name of a site's settings.
const ConfigFile = "static.json"

// Config is a site's static.json, in the form of Heroku's static buildpack.
type Config struct {
	Root      string `json:"root"`       // directory of the site's files
	CleanURLs *bool  `json:"clean_urls"` // /about serves about.html; on if not set
	ErrorPage string `json:"error_page"` // for what is not found; "404.html" if not set
	// Routes serve one file for many paths; {"/**": "index.html"}, for what is
	// not found, is what single-page apps need. Other patterns are not supported.
	Routes    map[string]string `json:"routes"`
	HTTPSOnly bool              `json:"https_only"` // http is redirected to https

	Ignored []string `json:"-"` // settings that are not supported, in order
}

var supported = []string{"root", "clean_urls", "error_page", "routes", "https_only", "basic_auth"}

// ReadConfig reads dir's static.json; without one it is the zero Config. A site that
// shall ask for a password is an error: it would be served to anybody.
func ReadConfig(dir string) (Config, error) {
	var c Config
	text, err := appfile.Read(dir, ConfigFile, appfile.Limit)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	for pattern := range c.Routes {
		if pattern != "/**" {
			return c, fmt.Errorf("%s: route %q: only /** is supported", ConfigFile, pattern)
		}
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return c, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	switch string(all["basic_auth"]) {
	case "", "false", "null":
	default:
		return c, fmt.Errorf("%s: basic_auth is not supported: anybody could read the site", ConfigFile)
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(supported, key) {
			c.Ignored = append(c.Ignored, key)
		}
	}
	return c, nil
}
