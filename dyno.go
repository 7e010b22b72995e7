package hoist

import (
	"fmt"
	"time"
)

// ProcessType is one line of the formation.
type ProcessType struct {
	ID        ID
	AppID     ID
	Type      string // "web", "worker", …
	Command   string
	Quantity  int
	Size      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Dyno is one container, wanted or running. The row is both: what should run
// (Want) and what does (State).
type Dyno struct {
	ID         ID
	AppID      ID
	AppName    string
	ReleaseID  ID
	Version    int // the release's
	Kind       DynoKind
	Type       string // "web", "run", …
	Number     int
	Size       string
	Command    string
	Env        map[string]string // beside the release's config; for one-off dynos
	Want       DynoWant
	State      DynoState
	Attach     bool
	TTY        bool
	SecretHash []byte        // SHA-256 of the attach secret
	Timeout    time.Duration // for its process to run; 0: for ever
	WorkerID   ID
	Address    string     // "ip:port" of its web server, for the router
	Restarts   int        // crashes one after the other
	RestartAt  *time.Time // when a crashed dyno is tried again
	ExitCode   *int
	Reason     string // code and text: "R10 (Boot timeout)", …
	CreatedAt  time.Time
	UpdatedAt  time.Time
	StateAt    time.Time  // since when State holds
	UpAt       *time.Time // when it was up for the first time
}

// Name is the dyno's name within its app: "web.1", "run.4711".
func (d Dyno) Name() string { return fmt.Sprintf("%s.%d", d.Type, d.Number) }

// DynoKind is why a dyno exists.
type DynoKind string

// Kinds of dynos.
const (
	KindFormation DynoKind = "formation" // kept running by the loop
	KindRun       DynoKind = "run"       // one-off; runs once
	KindBuild     DynoKind = "build"     // one-off of a compile worker
)

// ReasonClientLost is the reason of an attached dyno that was ended because the
// worker between it and its client was killed.
const ReasonClientLost = "the connection to its client was lost"

// ReasonExitUnknown is the reason of a dyno that ended while no runtime watched it; then
// its exit code is ExitUnknown.
const ReasonExitUnknown = "it ended while no runtime watched, so its exit status is not known"

// Reasons of dynos that met a limit of their size.
const (
	ReasonMemory = "R15 (Memory quota vastly exceeded)"
	ReasonDisk   = "its disk is full"
	ReasonPids   = "it had as many processes and threads as its size allows"
)

// ExitUnknown is the exit code of a dyno whose own could not be learned: that of a killed one,
// as every client understands it.
const ExitUnknown = 128 + 9

// DynoWant is what should become of a dyno.
type DynoWant string

// Wants.
const (
	WantUp      DynoWant = "up"
	WantRestart DynoWant = "restart" // up until its replacement, a new row, is up; then down
	WantDown    DynoWant = "down"
)

// DynoState is what the dyno does; the texts are the Platform API's.
type DynoState string

// States of a dyno.
const (
	DynoStarting DynoState = "starting"
	DynoUp       DynoState = "up"
	DynoCrashed  DynoState = "crashed"
	DynoStopping DynoState = "stopping" // out of the routes; draining, then SIGTERM
	DynoDown     DynoState = "down"     // ended; the row is collected later
)

// Size is a dyno size.
type Size struct {
	Name     string
	Memory   int64 // quota in bytes, see MemoryLimit
	CPUShare int   // relative weight, 100 = one share
	Pids     int   // processes and threads
	Disk     int64 // bytes of ephemeral disk
}

// MemoryLimit is how many bytes a dyno may have before it is killed (R15): twice its quota.
// Above the quota itself it is only told (R14); see
// https://devcenter.heroku.com/articles/dyno-memory-behavior.
func (s Size) MemoryLimit() int64 { return 2 * s.Memory }

// Sizes are the dyno sizes, after Heroku's table
// (https://devcenter.heroku.com/articles/dyno-sizes); lower-case names match.
var Sizes = []Size{
	{"Eco", 512 << 20, 100, 256, 2 << 30},
	{"Basic", 512 << 20, 100, 256, 2 << 30},
	{"Standard-1X", 512 << 20, 100, 256, 2 << 30},
	{"Standard-2X", 1 << 30, 200, 512, 4 << 30},
	{"Performance-M", 2560 << 20, 400, 1024, 8 << 30},
	{"Performance-L", 14 << 30, 1200, 4096, 16 << 30},
}

// DefaultSize is the size of a dyno whose size nobody chose.
const DefaultSize = "Basic"

// Worker is a running runtime component: capacity for dynos.
type Worker struct {
	ID       ID
	Address  string // "ip:port" of its attach listener
	Memory   int64  // bytes it may give to dynos, with all other workers of its host
	Host     string // machine it is on; empty: one of its own
	Draining bool
	// Probation is that of a worker which has not proven itself: it takes no
	// dynos, and runs only those whose rows already name it.
	Probation bool
	SeenAt    time.Time
}
