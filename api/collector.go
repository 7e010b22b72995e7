package api

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

type collectorDB interface {
	// CollectReleases deletes all but the newest releases of each app, the
	// current one and those in use kept.
	CollectReleases(ctx context.Context, keep int) error
	// CollectBuilds deletes all but the newest builds of each app, open ones
	// kept.
	CollectBuilds(ctx context.Context, keep int) error
	// OpenSources lists the source archives that open builds need.
	OpenSources(ctx context.Context) ([]string, error)
}

// What is kept of each app. Slugs, caches and packs that nothing refers to any
// more are collected by the components that made them.
const (
	releasesKept = 500
	buildsKept   = 100
)

const (
	collectEvery = 10 * time.Minute
	// sourceKept is how long builds can be made of an uploaded source archive.
	sourceKept = 24 * time.Hour
)

// collect deletes what nobody needs any more, now and then, until ctx ends.
// Several API processes may do so at once.
func (s *Server) collect(ctx context.Context) error {
	for {
		if err := s.collectOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot collect garbage", "err", err)
		}
		if !sleep(ctx, collectEvery) {
			return ctx.Err()
		}
	}
}

func (s *Server) collectOnce(ctx context.Context, now time.Time) error {
	if err := s.DB.CollectBuilds(ctx, buildsKept); err != nil {
		return err
	}
	if err := s.DB.CollectReleases(ctx, releasesKept); err != nil {
		return err
	}
	return s.collectSources(ctx, now)
}

func (s *Server) collectSources(ctx context.Context, now time.Time) error {
	var old []string
	err := s.Blobs.List(ctx, sourcePrefix, func(b hoist.BlobInfo) error {
		if now.Sub(b.ModTime) > sourceKept {
			old = append(old, b.Key)
		}
		return nil
	})
	if err != nil || old == nil {
		return err
	}
	open, err := s.DB.OpenSources(ctx)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, key := range open {
		needed[key] = true
	}
	for _, key := range old {
		if needed[key] {
			continue
		}
		if err := s.Blobs.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
