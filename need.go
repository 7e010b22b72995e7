package hoist

import "time"

// What a part of the platform may need beside components: the ground, the seed
// that starts it, and the release of the platform's own app that is its code.
const (
	NeedDatabase = "database"
	NeedBus      = "bus"
	NeedBlobs    = "blobs"
	NeedSeed     = "seed"
	NeedRelease  = "release of " + SystemApp
)

// Need is one thing that a part of the platform uses.
type Need struct {
	On  string `json:"on"`  // a component or one of the names above
	For string `json:"for"` // what it is used for
	// Without says how the part starts and serves while the thing is missing:
	// here a circle of needs is cut. Empty: it waits.
	Without string `json:"without,omitempty"`
	Missing string `json:"missing,omitempty"` // why it is not there now
}

// Report is what a process of the platform says of itself, in a file of its own
// directory: the seed reads it when neither database nor bus is there.
type Report struct {
	ID       ID        `json:"id"`
	PID      int       `json:"pid"` // as the process itself sees it
	Version  string    `json:"version"`
	WaitsFor string    `json:"waits_for,omitempty"`
	Needs    []Need    `json:"needs"`
	Since    time.Time `json:"since"`
}

// A report is written anew every ReportInterval, so one older than ReportExpiry
// is of a process that has ended.
const (
	ReportInterval = 2 * time.Second
	ReportExpiry   = 10 * time.Second
	ReportPattern  = "report-*.json" // * is the ID
)
