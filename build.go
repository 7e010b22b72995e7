package hoist

import "time"

// Build is a job: source in, slug and release out. The row is the truth; the
// bus only rings.
//
// The way of a build: git or api inserts it (pending); compile claims it
// (building), compiles it and registers the slug (built); api claims it
// (releasing), makes the release and moves the repository's refs in one
// transaction, then waits for the new web dynos and ends it (succeeded).
type Build struct {
	ID                ID
	AppID             ID
	AccountID         ID
	Email             string // the account's
	State             BuildState
	Stack             string
	Buildpacks        []BuildpackInstallation
	SourceKey         string // blob of the gzipped tar; empty if SourceURL is set
	SourceURL         string
	SourceChecksum    string // "SHA256:hex" or empty
	SourceVersion     string // commit
	SourceDescription string // first line of the commit message
	Push              *Push  // refs to move when released; nil if not from git
	SlugID            ID
	ReleaseID         ID
	ReleaseFailed     bool   // the release was made, but the platform does not run it
	Error             string // why it failed, for the user
	Attempts          int    // of compile workers to build it, so far
	ClaimedBy         string
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// BuildState is where a build is on its way.
type BuildState string

// States of a build.
const (
	BuildPending   BuildState = "pending"
	BuildBuilding  BuildState = "building"
	BuildBuilt     BuildState = "built"
	BuildReleasing BuildState = "releasing"
	BuildSucceeded BuildState = "succeeded"
	BuildFailed    BuildState = "failed"
	BuildCanceled  BuildState = "canceled"
)

// Done reports whether the build has ended.
func (s BuildState) Done() bool {
	return s == BuildSucceeded || s == BuildFailed || s == BuildCanceled
}

// Push is what a git push changes, applied with the release or not at all.
type Push struct {
	Generation int64       `json:"generation"` // of the repository the push was made against
	Refs       []RefUpdate `json:"refs"`
	Pack       *Pack       `json:"pack,omitempty"` // nil if no new objects
}

// RefUpdate moves one ref. The zero object name creates or deletes.
type RefUpdate struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// ZeroObject is the object name that stands for "there is none".
const ZeroObject = "0000000000000000000000000000000000000000"

// Deletes reports whether the ref goes.
func (u RefUpdate) Deletes() bool { return u.New == ZeroObject }

// Pack is one packfile of a repository in the blob store.
type Pack struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"` // hexadecimal
	Size   int64  `json:"size"`   // bytes
}

// Repo is an app's git repository: its refs here, its objects in packs.
type Repo struct {
	AppID      ID
	Generation int64 // grows with every change; compare-and-set
	Head       string
	Refs       map[string]string
	Packs      []Pack // in order
}
