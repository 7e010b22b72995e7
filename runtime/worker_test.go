package runtime

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// looked is a database of which a worker gets what a test says.
type looked struct {
	Database
	waiting   func() []hoist.Dyno
	claimed   chan []hoist.ID
	reconcile func()
}

func (l *looked) SeeWorker(context.Context, hoist.Worker) (bool, error) { return false, nil }
func (l *looked) Workers(context.Context) ([]hoist.Worker, error) {
	return []hoist.Worker{{ID: "me", Memory: 8 << 30}}, nil
}
func (l *looked) WaitingDynos(context.Context) ([]hoist.Dyno, time.Time, error) {
	return l.waiting(), time.Now(), nil
}
func (l *looked) PlacedDynos(context.Context) ([]hoist.Dyno, error)           { return nil, nil }
func (l *looked) WorkerDynos(context.Context, hoist.ID) ([]hoist.Dyno, error) { return nil, nil }
func (l *looked) ClaimDynos(_ context.Context, _ hoist.ID, ids []hoist.ID) error {
	l.claimed <- ids
	return nil
}
func (l *looked) Reconcile(context.Context, hoist.ID, func(hoist.App, []hoist.ProcessType, []hoist.Dyno, []hoist.Worker, time.Time) []hoist.Dyno) ([]hoist.Dyno, error) {
	l.reconcile()
	return nil, nil
}

// removing is an engine whose container is there until it may go.
type removing struct {
	hoist.Engine
	may chan struct{}
}

func (e removing) Remove(ctx context.Context, _ hoist.ID) error {
	select {
	case <-e.may:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// A dyno was lost, its container with it, and there was no room; when there is, the container may still be there.
func TestADynoIsNotTakenBackWhileItsContainerIsRemoved(t *testing.T) {
	looks, e := 0, removing{may: make(chan struct{})}
	db := &looked{claimed: make(chan []hoist.ID, 100)}
	db.waiting = func() []hoist.Dyno {
		if looks++; looks == 1 {
			return nil
		}
		return []hoist.Dyno{{ID: "lost"}, {ID: "other"}}
	}
	r := New(Config{Dir: t.TempDir()}, db, nil, nil, e, slog.New(slog.DiscardHandler))
	r.worker.ID = "me"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.workerLoop(ctx, nil, []hoist.Container{{ID: "lost"}}, nil)
	}()
	defer func() { cancel(); <-ended }()
	for range 3 {
		if ids := <-db.claimed; !slices.Equal(ids, []hoist.ID{"other"}) {
			t.Fatalf("took %v", ids)
		}
		signal(r.wake)
	}
	close(e.may)
	for deadline := time.Now().Add(30 * time.Second); !slices.Contains(<-db.claimed, "lost"); {
		if time.Now().After(deadline) {
			t.Fatal("never taken back")
		}
	}
}

// Who looks after many apps is there all the time.
func TestAWorkerIsSeenToBeThereAfterEachApp(t *testing.T) {
	r := New(Config{}, nil, nil, nil, nil, slog.New(slog.DiscardHandler))
	var seen []time.Time
	r.db = &looked{reconcile: func() {
		seen = append(seen, r.steady.seen)
		time.Sleep(time.Millisecond)
	}}
	r.reconcileEach(t.Context(), []hoist.ID{"a", "b"})
	if seen = append(seen, r.steady.seen); seen[0].IsZero() || !seen[1].After(seen[0]) || !seen[2].After(seen[1]) {
		t.Errorf("%v", seen)
	}
}
