package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

const (
	// rolloutPatience is how long the seed may take to prove a release of the
	// platform, or to go back to the one before.
	rolloutPatience = 6 * time.Minute
	// rolloutNews is how often people are told what it waits for.
	rolloutNews = 15 * time.Second
)

// await waits until a release runs, or does not, and returns what to say.
func (s *Server) await(ctx context.Context, b hoist.Build, r hoist.Release, out *buildStream) string {
	for began := time.Now(); ; {
		first, err := s.DB.Rollout(ctx, r.ID)
		switch {
		case err == nil:
			return s.awaitSeed(ctx, r, first, out)
		case errors.Is(err, hoist.ErrNotFound), time.Since(began) > s.launchPatience:
			return s.awaitWeb(ctx, b, r)
		case !sleep(ctx, time.Second):
			return ""
		}
	}
}

// awaitSeed waits for the seed's word on a release of the platform itself. The
// process that waits may be replaced meanwhile: the next one goes on.
func (s *Server) awaitSeed(ctx context.Context, r hoist.Release, now hoist.Rollout, out *buildStream) string {
	began := time.Now()
	news := began
	inline := strings.HasSuffix(out.said.String(), launching)
	head := func(how string) string {
		if inline {
			return fmt.Sprintf(" %s, v%d\n", how, r.Version)
		}
		return fmt.Sprintf("       %s, v%d\n", how, r.Version)
	}
	for {
		switch {
		case now.Status == hoist.ReleaseSucceeded:
			return head("done") + fmt.Sprintf("       The platform runs v%d\n", r.Version)
		case now.Status == hoist.ReleaseFailed:
			return head("failed") + banged(now.Reason)
		case now.Status == hoist.ReleaseExpired:
			return head("done") + fmt.Sprintf("       v%d has taken its place meanwhile\n", now.Current)
		}
		if time.Since(began) > s.rolloutPatience {
			return head("failed") + banged(fmt.Sprintf("After %s the seed has not said that the platform runs v%d: %s.\n"+
				"How it goes on:  hoist releases:info v%[2]d -a %[4]s  or, on the machine,  hoist seed status",
				s.rolloutPatience, r.Version, waitingFor(now), hoist.SystemApp))
		}
		if time.Since(news) >= s.rolloutNews {
			news = time.Now()
			if inline {
				out.print("\n")
				inline = false
			}
			out.print("       %s (%s)\n", waitingFor(now), time.Since(r.CreatedAt).Round(time.Second))
		}
		if !sleep(ctx, launchPoll) {
			return "" // another process goes on
		}
		if next, err := s.DB.Rollout(ctx, r.ID); err == nil {
			now = next
		}
	}
}

func waitingFor(now hoist.Rollout) string {
	if len(now.Waiting) == 0 {
		return "waiting for the release before to hand over"
	}
	which := "themselves"
	if len(now.Waiting) == 1 {
		which = "itself"
	}
	return "waiting for " + strings.Join(now.Waiting, ", ") + " to prove " + which
}

// banged marks each line of a text as an error, in Heroku's form.
func banged(text string) string {
	var marked strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		marked.WriteString(" !     " + line)
	}
	return marked.String()
}
