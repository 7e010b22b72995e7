package hoist

import (
	"regexp"
	"time"
)

// App is what a person deploys.
type App struct {
	ID                ID
	Name              string // also its host name: NAME.DOMAIN
	OwnerID           ID
	OwnerEmail        string
	Stack             string
	Region            string
	Maintenance       bool
	System            bool   // the platform's own; only the seed's owner sets it
	BuildpackProvided string // what the last build called itself, e.g. "Go"
	RepoSize          int64  // bytes
	SlugSize          int64  // bytes
	CurrentReleaseID  ID     // empty before the first release
	ReleasedAt        *time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// AppChange is what to change of an app; nil leaves it as it is.
type AppChange struct {
	Name        *string
	Stack       *string
	Maintenance *bool
}

// AppName is what an app may be called: Heroku's rule, 3 to 30 characters.
var AppName = regexp.MustCompile(`^[a-z][a-z0-9-]{1,28}[a-z0-9]$`)

// PlatformHosts are the platform's own hosts, below its domain.
var PlatformHosts = []string{"api", "git", "logs", "blobs"}

// ProofApp is the app with which releases of the platform prove themselves.
const ProofApp = "hoist-proof"

// ReservedNames are host names of the platform itself, or soon, and names of
// its own apps; nobody may call an app so.
var ReservedNames = append([]string{"www", "status", "run", "proof", SystemApp, ProofApp}, PlatformHosts...)

// ConfigVars is an app's environment.
type ConfigVars map[string]string

// ConfigVarName is what a config var may be called.
var ConfigVarName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Domain is a further host name of an app.
type Domain struct {
	ID        ID
	AppID     ID
	Hostname  string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// BuildpackInstallation is one buildpack of an app, in order.
type BuildpackInstallation struct {
	Ordinal int
	URL     string // git or tarball URL, or "hoist/go" for a built-in one
	Name    string
}
