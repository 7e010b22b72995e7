package compile

import (
	"context"
	"io"
	"time"

	"github.com/hoist-sh/hoist"
)

// Store is what compile needs of the database.
type Store interface {
	ClaimBuildJob(ctx context.Context, token string, self hoist.ID, proven bool, lease time.Duration) (hoist.Build, error)
	RenewBuildJob(ctx context.Context, b hoist.Build, lease time.Duration) error
	ReturnBuildJob(ctx context.Context, b hoist.Build, delay time.Duration, handover bool) error
	FailBuildJob(ctx context.Context, b hoist.Build, reason, output string) error
	FailLostBuildJobs(ctx context.Context, reason string) ([]hoist.Build, error)
	FinishBuildJob(ctx context.Context, b hoist.Build, s hoist.Slug, output string) error

	BuildConfig(ctx context.Context, appID hoist.ID) (hoist.ConfigVars, error)
	StartBuildDyno(ctx context.Context, b hoist.Build, d hoist.Dyno) (number int, err error)
	BuildDyno(ctx context.Context, id hoist.ID) (d hoist.Dyno, listener string, err error)
	StopBuildDynos(ctx context.Context, b hoist.Build) (running int, err error)
	StopAbandonedBuildDynos(ctx context.Context) error
}

// Dial connects to an attached dyno: package rendezvous.
type Dial func(ctx context.Context, listener, secret string) (io.ReadWriteCloser, error)
