package hoist

import "time"

// LogSession is the right to read an app's log for a while; its URL is the only
// secret (https://devcenter.heroku.com/articles/platform-api-reference#log-session).
type LogSession struct {
	ID        ID
	AppID     ID
	Lines     int    // of history, before what is new; 0 to LogKeep
	Tail      bool   // go on with new lines
	Source    string // "app", "heroku", or empty for both
	Dyno      string // "web.1", or a type, "web"; empty for all
	ExpiresAt time.Time
	CreatedAt time.Time
}

// How long log sessions are good for.
const (
	LogSessionConnect = 5 * time.Minute // to connect
	LogSessionTail    = 24 * time.Hour  // to go on, for one that tails
)
