// Package hoist holds the domain of the platform: its types, the narrow
// interfaces between its parts, and its error codes. It imports nothing of
// ours; every other package may import it.
//
// Names are those of Heroku's documentation
// (https://devcenter.heroku.com/articles/platform-api-reference).
package hoist

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/google/uuid"
)

// ID names a row for ever; it is a UUID in its text form.
type ID = string

// NewID returns a new random ID.
func NewID() ID { return uuid.NewString() }

// NewSecret returns 256 random bits as 64 hexadecimal digits, for tokens and
// other bearer secrets.
func NewSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return hex.EncodeToString(b)
}

// Component is one process type of the platform's own app: git, api, compile,
// runtime, router or logs. Run starts alone, in any order, waits for what it
// lacks and returns when ctx is cancelled or when it cannot go on; whoever
// runs it starts it again.
type Component interface {
	Run(ctx context.Context) error
}

// Names of the platform's components, as in the Procfile.
const (
	ComponentGit     = "git"
	ComponentAPI     = "api"
	ComponentCompile = "compile"
	ComponentRuntime = "runtime"
	ComponentRouter  = "router"
	ComponentLogs    = "logs"
)

// Components lists the process types of the platform's own app.
var Components = []string{
	ComponentGit, ComponentAPI, ComponentCompile,
	ComponentRuntime, ComponentRouter, ComponentLogs,
}

// SystemApp is the name of the platform's own app.
const SystemApp = "hoist"

// MaxRuntimes is how many dynos of its runtime there may be: an upgrade needs places on the
// machine for as many new ones, as they prove themselves before the old ones stop.
const MaxRuntimes = 3

// Region is the name of the only region: where the platform runs.
const Region = "local"

// Proven is the channel that is closed when a process is not on probation (any
// more); nil means that it never was.
func Proven(c <-chan struct{}) <-chan struct{} {
	if c != nil {
		return c
	}
	never := make(chan struct{})
	close(never)
	return never
}
