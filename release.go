package hoist

import "time"

// Release is an app's slug and config at one moment. Those never change; Status and Reason may, while it
// is pending, and Current.
type Release struct {
	ID          ID
	AppID       ID
	Version     int // 1, 2, …
	SlugID      ID  // empty before the first deploy
	Config      ConfigVars
	Description string // "Deploy de63889", "Config add KEY", "Rollback to v46"
	Status      string // ReleaseSucceeded, …
	Reason      string // why it failed, for people
	Current     bool
	AccountID   ID
	Email       string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// States of a release, as the Platform API names them. Only those of the
// platform's own app are ever pending: until the seed has seen them work, or
// another one has taken their place before.
const (
	ReleasePending   = "pending"
	ReleaseSucceeded = "succeeded"
	ReleaseFailed    = "failed"
	ReleaseExpired   = "expired" // another one took its place while it was pending
)

// Rollout is how a release of the platform's own app comes along.
type Rollout struct {
	Status  string   // ReleasePending until the seed has decided
	Reason  string   // why it failed, for people
	Current int      // version of the app's current release
	Waiting []string // process types that have not done their tasks yet
}

// Slug is a compiled app: a squashfs image in the blob store.
type Slug struct {
	ID                ID
	AppID             ID
	Key               string // in the blob store
	SHA256            string // hexadecimal, of the image
	Size              int64  // bytes
	ProcessTypes      map[string]string
	BuildpackProvided string
	Commit            string
	CommitDescription string
	Stack             string
	Ready             bool // the image is in the blob store
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// SlugLimit is the largest slug, in bytes (Heroku's limit).
const SlugLimit = 500 << 20
