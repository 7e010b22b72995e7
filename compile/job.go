package compile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// Why a job stops before its end.
var (
	errLost     = errors.New("the claim on the build is lost")       // cancelled, or another worker has it
	errHandover = errors.New("this worker is stopping")              // another one shall have it
	errTimeout  = errors.New("the compilation took too long")        // and its machine did not stop it: try again
	errMachine  = errors.New("the machine that compiled it is lost") // nobody's fault: try again
)

// rejected is a failure that trying again would not change. Its text is for
// the user.
type rejected struct {
	reason    string
	limit     string // of the dyno that it met; empty if it met none
	buildpack string // what the app was recognised as, if it was
}

func (r *rejected) Error() string { return r.reason }

// job is one claimed build.
type job struct {
	*Worker
	build   hoist.Build
	out     *output
	changed chan struct{} // its dyno may have changed
	renew   chan struct{} // its claim may be lost
	settled bool          // the build needs no further attempt
}

func newJob(w *Worker, b hoist.Build) *job {
	return &job{
		Worker: w, build: b, out: newOutput(w.bus, b),
		changed: make(chan struct{}, 1), renew: make(chan struct{}, 1),
	}
}

// run compiles the build and writes down how that ended. It returns when
// nothing is left to do by this worker.
func (j *job) run(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log := j.log.With("build", j.build.ID, "attempt", j.build.Attempts)
	log.Info("build claimed")
	go j.keepClaim(ctx, cancel)
	slug, err := j.attempt(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	// What follows must be tried even when the job was stopped, while the
	// claim lasts.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), j.settings.Lease)
	defer done()
	if errors.Is(err, errLost) {
		log.Info("build stopped", "reason", err)
		j.stopDynos(last)
		return
	}
	j.out.flush()
	j.stopDynos(last) // before somebody else begins
	until(last, func() error { return j.settle(last, slug, err) })
	j.sweep(last)
	log.Info("build ended", "slug", slug.ID, "error", err)
}

// settle writes down the end of the attempt. Afterwards the stream says so.
func (j *job) settle(ctx context.Context, slug hoist.Slug, failure error) error {
	var why *rejected
	switch {
	case failure == nil:
		if err := j.db.FinishBuildJob(ctx, j.build, slug, j.out.tail.String()); err != nil {
			return err
		}
		j.settled = true
		j.out.sync(ctx)
	case errors.Is(failure, errHandover):
		if err := j.db.ReturnBuildJob(ctx, j.build, 0, true); err != nil {
			return err
		}
		j.out.say("\n-----> The platform's compiler is being replaced; the build starts again\n")
	case errors.As(failure, &why):
		return j.fail(ctx, why)
	case j.build.Attempts >= j.settings.Attempts:
		return j.fail(ctx, &rejected{reason: fmt.Sprintf("The platform could not compile the app in %d attempts: %v. This is not your app's fault; please push again later.",
			min(j.build.Attempts, j.settings.Attempts), failure)})
	default:
		if err := j.db.ReturnBuildJob(ctx, j.build, time.Duration(j.build.Attempts)*2*time.Second, false); err != nil {
			return err
		}
		j.out.say(fmt.Sprintf("\n !     %v\n", failure))
	}
	j.ring()
	return nil
}

func (j *job) fail(ctx context.Context, why *rejected) error {
	text := j.out.tail.String() + farewell(j.build, why)
	reason := strings.TrimSuffix(why.reason+"\n"+why.limit, "\n")
	if err := j.db.FailBuildJob(ctx, j.build, reason, text); err != nil {
		return err
	}
	j.settled = true
	j.out.say(farewell(j.build, why))
	j.out.log("app", "api", "Build failed -- check your build output")
	j.out.end(hoist.BuildFailed)
	j.out.sync(ctx)
	j.ring()
	return nil
}

// farewell is the end of a failed build's output.
func farewell(b hoist.Build, why *rejected) string {
	what := "failed to compile the app"
	if why.buildpack != "" {
		what = "failed to compile " + why.buildpack + " app"
	}
	limit := ""
	if why.limit != "" {
		limit = " !     " + why.limit + "\n\n"
	}
	if b.Push == nil {
		return fmt.Sprintf("%s !     Build failed: %s.\n\n", limit, what)
	}
	return fmt.Sprintf("%s !     Push rejected, %s.\n\n !     Push failed\n", limit, what)
}

func (j *job) ring() {
	j.bus.Ring(hoist.BellBuild, []byte(j.build.ID))
	j.bus.Ring(hoist.BellBuild+"."+j.build.ID, nil)
}

// keepClaim renews the lease and cancels the job when it is lost, or may be
// for want of the database.
func (j *job) keepClaim(ctx context.Context, cancel context.CancelCauseFunc) {
	valid := time.Now().Add(j.settings.Lease)
	tick := time.NewTicker(j.settings.Lease / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.renew:
		case <-tick.C:
		}
		asked := time.Now()
		bounded, done := context.WithDeadline(ctx, valid)
		err := j.db.RenewBuildJob(bounded, j.build, j.settings.Lease)
		done()
		switch {
		case err == nil:
			valid = asked.Add(j.settings.Lease)
		case ctx.Err() != nil:
			return
		case errors.Is(err, hoist.ErrConflict), time.Now().After(valid.Add(-j.settings.Lease / 6)):
			cancel(errLost)
			return
		}
	}
}

// stopDynos asks for the end of the build's dynos.
func (j *job) stopDynos(ctx context.Context) (running int) {
	until(ctx, func() (err error) {
		running, err = j.db.StopBuildDynos(ctx, j.build)
		return err
	})
	j.bus.Ring(hoist.BellFormation+j.build.AppID, nil)
	return running
}

// wait returns when something may have changed, after a second at most.
func (j *job) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-j.changed:
	case <-time.After(time.Second):
	}
	return nil
}

// until calls f until it succeeds, the claim turns out to be lost, or ctx ends.
func until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || errors.Is(err, hoist.ErrConflict) || errors.Is(err, hoist.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(300 * time.Millisecond):
		}
	}
}
