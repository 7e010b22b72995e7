package nats

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamLogs   = "LOGS"
	streamBuilds = "BUILDS"

	logsMaxBytes   = 1 << 30
	buildsMaxBytes = 512 << 20
	buildsMaxAge   = 24 * time.Hour
	maxPayload     = 1 << 20

	// A message sent again after an outage is not stored again for this long.
	// Later it is; then tails leave it out. The server has some 400 bytes of memory for
	// each message until then.
	duplicateWindow = 10 * time.Second
)

var streams = []jetstream.StreamConfig{
	{
		Name:              streamLogs,
		Subjects:          []string{hoist.StreamLogs + "*"},
		MaxMsgsPerSubject: hoist.LogKeep,
		MaxBytes:          logsMaxBytes,
		Discard:           jetstream.DiscardOld,
		Duplicates:        duplicateWindow,
		Storage:           jetstream.FileStorage,
	},
	{
		Name:       streamBuilds,
		Subjects:   []string{hoist.StreamBuilds + "*"},
		MaxAge:     buildsMaxAge,
		MaxBytes:   buildsMaxBytes,
		Discard:    jetstream.DiscardOld,
		Duplicates: duplicateWindow,
		Storage:    jetstream.FileStorage,
	},
}

// EnsureStreams makes the streams, or changes them to what they should be. It
// needs the seed's user.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	for _, cfg := range streams {
		if _, err := b.js.CreateOrUpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("nats: stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// streamOf returns the stream that keeps a subject such as "logs.APP".
func streamOf(subject string) (string, error) {
	for _, s := range []struct{ prefix, stream string }{
		{hoist.StreamLogs, streamLogs}, {hoist.StreamBuilds, streamBuilds},
	} {
		if id, ok := strings.CutPrefix(subject, s.prefix); ok && id != "" && !strings.ContainsAny(id, ".*> \t\r\n") {
			return s.stream, nil
		}
	}
	return "", fmt.Errorf("nats: %q is not the subject of a stream", subject)
}
