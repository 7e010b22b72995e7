package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

type configDB interface {
	Config(ctx context.Context, appID hoist.ID) (hoist.ConfigVars, error)
	UpdateConfig(ctx context.Context, appID, accountID hoist.ID,
		change func(hoist.ConfigVars) (description string, err error)) (hoist.ConfigVars, *hoist.Release, error)
}

// configLimit is the largest config, names and values together, in bytes
// (https://devcenter.heroku.com/articles/limits#config-vars).
const configLimit = 64 << 10

func (s *Server) configRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/config-vars", func(c *call, a hoist.App) (any, error) {
		return s.DB.Config(c.Context(), a.ID)
	})
	onApp("PATCH", "/config-vars", s.configUpdate)
}

func (s *Server) configUpdate(c *call, a hoist.App) (any, error) {
	var changes configChanges
	if err := c.decode(&changes); err != nil {
		return nil, err
	}
	vars, release, err := s.DB.UpdateConfig(c.Context(), a.ID, c.account.ID, func(vars hoist.ConfigVars) (string, error) {
		return changeConfig(vars, changes)
	})
	if err != nil {
		return nil, err
	}
	if release != nil {
		s.released(*release)
	}
	return vars, nil
}

// configChanges are new values by name; nil unsets.
type configChanges map[string]*string

// UnmarshalJSON implements json.Unmarshaler. Its errors name the config var.
func (c *configChanges) UnmarshalJSON(text []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	*c = configChanges{}
	for name, value := range raw {
		var v *string
		if err := json.Unmarshal(value, &v); err != nil {
			return hoist.Invalid("Config var %.60q: the value must be a string, or null to remove it.", name)
		}
		(*c)[name] = v
	}
	return nil
}

// changeConfig sets vars, or unsets those whose value is nil, and says what it
// did: "Config add KEY", "Config remove KEY", or nothing.
func changeConfig(vars hoist.ConfigVars, changes configChanges) (string, error) {
	var added, removed []string
	for name, value := range changes {
		old, had := vars[name]
		switch {
		case value == nil && had:
			delete(vars, name)
			removed = append(removed, name)
		case value != nil && !hoist.ConfigVarName.MatchString(name):
			return "", hoist.Invalid("Config var %.60q: names have letters, digits and underscores, and do not start with a digit.", name)
		case value != nil && (!had || old != *value):
			vars[name] = *value
			added = append(added, name)
		}
	}
	size := 0
	for name, value := range vars {
		size += len(name) + len(value)
	}
	if len(added) > 0 && size > configLimit {
		return "", hoist.Invalid("Config vars of an app must not be larger than %d kB together; with this change they would have %d bytes.", configLimit>>10, size)
	}
	var did []string
	for _, part := range []struct {
		verb  string
		names []string
	}{{"add ", added}, {"remove ", removed}} {
		if len(part.names) > 0 {
			slices.Sort(part.names)
			did = append(did, part.verb+strings.Join(part.names, ", "))
		}
	}
	if did == nil {
		return "", nil
	}
	return shorten("Config "+strings.Join(did, "; "), 200), nil
}

// shorten cuts a text that is longer than n bytes.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len("…")], "") + "…"
}
