package runtime

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// Database is what runtime needs of the truth; see postgres/dynos.go and
// postgres/workers.go for what each method promises.
type Database interface {
	WaitForSchema(ctx context.Context, waiting func(what string)) error

	UnsettledApps(ctx context.Context) ([]hoist.ID, error)
	Reconcile(ctx context.Context, appID hoist.ID, plan func(hoist.App, []hoist.ProcessType, []hoist.Dyno, []hoist.Worker, time.Time) []hoist.Dyno) ([]hoist.Dyno, error)
	AbandonedDynos(ctx context.Context, patience time.Duration) ([]hoist.Dyno, error)
	CollectDynos(ctx context.Context, formation, oneOff time.Duration) error
	LoseWorkers(ctx context.Context, self hoist.ID, after time.Duration) ([]hoist.Dyno, error)

	SeeWorker(ctx context.Context, w hoist.Worker) (draining bool, err error)
	ResumeWorker(ctx context.Context, id hoist.ID) error
	DeleteWorker(ctx context.Context, id hoist.ID) error
	Workers(ctx context.Context) ([]hoist.Worker, error)
	WaitingDynos(ctx context.Context) (waiting []hoist.Dyno, now time.Time, err error)
	PlacedDynos(ctx context.Context) ([]hoist.Dyno, error)
	ClaimDynos(ctx context.Context, worker hoist.ID, ids []hoist.ID) error
	MoveDynos(ctx context.Context, worker hoist.ID) ([]hoist.ID, error)
	WorkerDynos(ctx context.Context, worker hoist.ID) ([]hoist.Dyno, error)
	UpdateDyno(ctx context.Context, worker hoist.ID, d hoist.Dyno) error
	SlugOfRelease(ctx context.Context, releaseID hoist.ID) (hoist.ConfigVars, hoist.Slug, error)
}
