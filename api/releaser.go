package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
)

type releaserDB interface {
	ClaimBuilt(ctx context.Context, token string, lease time.Duration) (*hoist.Build, error)
	RenewRelease(ctx context.Context, id hoist.ID, token string, lease time.Duration) error
	ReleaseBuild(ctx context.Context, id hoist.ID, token, description string) (hoist.Release, error)
	FinishBuild(ctx context.Context, id hoist.ID, token string, state hoist.BuildState, reason, output string) error
	Rollout(ctx context.Context, releaseID hoist.ID) (hoist.Rollout, error)
	Launch(ctx context.Context, releaseID hoist.ID) (web int, current int, dynos []hoist.Dyno, err error)
}

const (
	releaseLease    = 15 * time.Second // after which another process takes a build over
	releaseTries    = 3 * time.Minute  // for making one release
	releasesAtATime = 64
)

// release makes releases of builds that are built, until ctx ends.
func (s *Server) release(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	for _, subject := range []string{hoist.BellBuild, hoist.BellBuild + ".*"} {
		if err := s.Bus.Listen(ctx, subject, func(string, []byte) { poke(wake) }); err != nil {
			return err
		}
	}
	var launches sync.WaitGroup
	defer launches.Wait()
	slots := make(chan struct{}, releasesAtATime)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		// A token for each claim: one that ran out excludes also whoever in this
		// process still works on it.
		b, err := s.DB.ClaimBuilt(ctx, hoist.NewID(), releaseLease)
		if b != nil {
			launches.Go(func() {
				defer func() { <-slots }()
				s.launch(ctx, *b)
			})
			continue
		}
		<-slots
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot look for builds to release", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-time.After(hoist.ResyncInterval):
		}
	}
}

const launching = "-----> Launching..."

func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// launch makes the release of a claimed build and tells how it goes. If this
// process ends meanwhile another one goes on from where the database says it
// was.
func (s *Server) launch(ctx context.Context, b hoist.Build) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.keepClaim(ctx, stop, b)

	out := &buildStream{bus: s.Bus, id: b.ID}
	if b.ReleaseID == "" || !out.resume(ctx) {
		out.print(launching)
	}
	r, err := s.makeRelease(ctx, b)
	if e, ok := hoist.AsError(err); ok && ctx.Err() == nil {
		out.print(" failed\n !     %s\n", e.Message)
		if s.finish(ctx, b, out, hoist.BuildFailed, e.Message) {
			s.event(b.AppID, "Build failed: %s", e.Message)
		}
		return
	}
	if err != nil {
		return // the claim is lost, or this process ends
	}
	if b.ReleaseID == "" {
		s.released(r)
	}
	out.print("%s", s.await(ctx, b, r, out))
	if s.finish(ctx, b, out, hoist.BuildSucceeded, "") {
		s.event(b.AppID, "Build succeeded")
	}
}

// makeRelease makes the release, trying again while the database is away. An
// error of the user's kind means that it cannot be made; another that it is no
// longer ours to make.
func (s *Server) makeRelease(ctx context.Context, b hoist.Build) (hoist.Release, error) {
	began := time.Now()
	for {
		r, err := s.DB.ReleaseBuild(ctx, b.ID, b.ClaimedBy, deployDescription(b.SourceVersion, b.ID))
		e, user := hoist.AsError(err)
		switch {
		case err == nil:
			return r, nil
		case user && e.Is(hoist.ErrConflict), user && e.Is(hoist.ErrNotFound) && b.SlugID != "" && e.Message == hoist.NotFound("build").Error():
			return r, errors.New("the claim is lost")
		case user:
			return r, err
		}
		s.Log.Warn("cannot make a release", "build", b.ID, "err", err)
		if time.Since(began) > releaseTries {
			return r, &hoist.Error{ID: "release_failed", Status: 500,
				Message: "The release could not be made; the log of the API says why. See with hoist releases that it is not there before you push again."}
		}
		if !sleep(ctx, time.Second) {
			return r, ctx.Err()
		}
	}
}

// keepClaim renews the claim on a build until ctx ends; then it gives it up at
// once, which means nothing for a build that has ended. stop is called when
// another one has it.
func (s *Server) keepClaim(ctx context.Context, stop func(), b hoist.Build) {
	for sleep(ctx, releaseLease/3) {
		if err := s.DB.RenewRelease(ctx, b.ID, b.ClaimedBy, releaseLease); errors.Is(err, hoist.ErrConflict) {
			stop()
		}
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	s.DB.RenewRelease(bye, b.ID, b.ClaimedBy, 0)
}

// finish writes the end of a build, first where it counts. It reports false if
// the build is not ours any more. What is kept of the output is compile's and
// what was said here, as the bus may have been away for any of it.
func (s *Server) finish(ctx context.Context, b hoist.Build, out *buildStream, state hoist.BuildState, reason string) bool {
	for {
		_, compiled, _, err := s.DB.BuildOutput(ctx, b.ID)
		if err == nil {
			err = s.DB.FinishBuild(ctx, b.ID, b.ClaimedBy, state, reason, lastBytes(compiled+out.said.String(), outputKept))
		}
		if err == nil {
			break
		}
		if errors.Is(err, hoist.ErrConflict) || errors.Is(err, hoist.ErrNotFound) {
			return false
		}
		s.Log.Warn("cannot write the end of a build", "build", b.ID, "err", err)
		if !sleep(ctx, time.Second) {
			return false
		}
	}
	out.end(ctx, state)
	s.Bus.Ring(hoist.BellBuild+"."+b.ID, nil)
	return true
}
