package hoist

import (
	"context"
	"time"
)

// Bus carries doorbells and streams of text. Truth is in the database: every
// message may be lost, and whoever listens also looks at the database at least
// every ResyncInterval.
type Bus interface {
	// Ring publishes a doorbell. It does not block and is lost if the bus is away.
	Ring(subject string, data []byte)
	// Listen calls f for each bell on subject ("bell.route.*" is a pattern),
	// one call at a time, until ctx ends. It returns at once, and works before
	// the bus is there and across reconnects. An error means that the subject is wrong.
	Listen(ctx context.Context, subject string, f func(subject string, data []byte)) error
	// Append adds a message to a stream subject (logs.*, builds.*), in order,
	// without waiting; tails have it once, however long the bus is away. ok is
	// false if it had to be dropped; an app's log then says how many were.
	// data must not be changed afterwards.
	Append(subject string, data []byte) (ok bool)
	// AppendAt is Append for a line that may be appended again, by another
	// process too: tails have it once. The places of a source must grow.
	AppendAt(subject string, at Place, data []byte) (ok bool)
	// Drop counts n messages that were dropped before they could be appended.
	Drop(subject string, n int)
	// Flush waits until what was appended is stored; the error says how much is not when ctx ends.
	Flush(ctx context.Context) error
	// Tail returns the messages kept for a stream subject, then new ones if follow is set, until ctx ends or, without
	// follow, all were sent. The channel is closed at the end. It also returns
	// at once; while the bus is away the channel is silent. An error means that there is no such stream.
	Tail(ctx context.Context, subject string, follow bool) (<-chan Message, error)
}

// Message is one of those that were appended to a stream.
type Message struct {
	Seq    uint64 // grows from one to the next, by any step
	Time   time.Time
	Data   []byte
	Missed int // messages that left the stream after the one before and ahead of this, unread
}

// Place is where a line stands in an output that may be read again.
type Place struct {
	Source ID     // of the output
	End    uint64 // its bytes up to the line's end
}

// ResyncInterval is the longest time a lost bell may cost.
const ResyncInterval = 3 * time.Second

// Doorbells. Payloads are hints and may be empty.
const (
	BellBuild     = "bell.build"      // builds to claim; BellBuild+"."+ID: that build changed
	BellFormation = "bell.formation." // + app ID: formation, release or wants changed
	BellRoute     = "bell.route."     // + app ID: dynos, domains or maintenance changed
	BellDyno      = "bell.dyno."      // + app ID: a dyno's state changed, or a worker took it
	BellComponent = "bell.component"  // a component came or went
	BellWorker    = "bell.worker"     // a runtime ended, and with it its worker
	BellProven    = "bell.proven."    // + component ID: its probation is over
)

// Streams.
const (
	StreamLogs   = "logs."   // + app ID: LogLine, JSON; at least LogKeep lines kept
	StreamBuilds = "builds." // + build ID: BuildChunk, JSON; kept a day
)

// LogKeep is how many lines of an app people get, at most, and how many are kept, at least, unless
// those of all apps are more than the stream's 1 GiB: then the oldest go first.
const LogKeep = 1500

// LogLine is one line of an app's log.
type LogLine struct {
	Time   time.Time `json:"t"`
	Source string    `json:"s"` // "app" or "heroku"
	Dyno   string    `json:"p"` // "web.1", "router", "api", …
	Text   string    `json:"m"` // without the line's end; LogLineLimit bytes at most
}

// LogLineLimit is the longest log line in bytes; longer ones are split.
const LogLineLimit = 10_000

// BuildChunk is a piece of a build's output. The last one has End set.
type BuildChunk struct {
	Text string     `json:"m,omitempty"`
	End  BuildState `json:"end,omitempty"`
}
