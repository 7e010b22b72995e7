package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// launchPatience is how long to wait for new web dynos: their 60 s to listen
// (R10) and what it takes to start them.
const launchPatience = 75 * time.Second

const launchPoll = 100 * time.Millisecond

// awaitWeb waits for the release's web dynos and returns what to say of it,
// from " done, v3" on. The release stands whatever the dynos do: runtime keeps
// the earlier ones serving until the new ones answer.
func (s *Server) awaitWeb(ctx context.Context, b hoist.Build, r hoist.Release) string {
	began := time.Now()
	var trouble string
	for trouble == "" {
		web, current, dynos, err := s.DB.Launch(ctx, r.ID)
		switch {
		case err != nil:
			if time.Since(began) > s.launchPatience {
				trouble = "the database is away, so it cannot be seen how its dynos do"
			}
		case current != r.Version:
			return fmt.Sprintf(" done, v%d\n       v%d has taken its place meanwhile\n", r.Version, current)
		case web < 0:
			return fmt.Sprintf(" done, v%d\n       Released v%d; it has no web process\n", r.Version, r.Version)
		default:
			up := 0
			for _, d := range dynos {
				if d.State == hoist.DynoUp {
					up++
				}
			}
			if up >= web {
				return s.deployed(ctx, b, r, web)
			}
			trouble = launchTrouble(dynos, web, up, time.Since(began) > s.launchPatience)
		}
		if trouble == "" && !sleep(ctx, launchPoll) {
			return "" // another process goes on
		}
	}
	return s.notDeployed(ctx, b, r, trouble)
}

func (s *Server) deployed(ctx context.Context, b hoist.Build, r hoist.Release, web int) string {
	text := fmt.Sprintf(" done, v%d\n", r.Version)
	if a, err := s.DB.App(ctx, b.AccountID, b.AppID); err == nil {
		text += "       " + s.Public.URL(a.Name) + " deployed to hoist\n"
		if web == 0 {
			text += "       No web dyno runs: hoist ps:scale web=1 -a " + a.Name + "\n"
		}
	}
	return text
}

// launchTrouble says what keeps a release from running, or nothing if there is
// hope yet.
func launchTrouble(dynos []hoist.Dyno, web, up int, late bool) string {
	crashed, reason := 0, ""
	for _, d := range dynos {
		if d.State == hoist.DynoCrashed || d.Restarts > 1 {
			crashed++
			reason = d.Name() + " crashed"
			switch {
			case d.Reason != "":
				reason += ": " + strings.TrimSuffix(oneLine(d.Reason), ".")
			case d.ExitCode != nil:
				reason += fmt.Sprintf(": it exited with status %d", *d.ExitCode)
			}
		}
	}
	switch {
	case len(dynos) > 0 && crashed == len(dynos):
		return reason
	case !late:
		return ""
	case crashed > 0:
		return fmt.Sprintf("%d of %d web dynos are up; %s", up, web, reason)
	case len(dynos) == 0:
		return "no runtime has taken its web dynos yet; see that one runs and has memory left"
	}
	return fmt.Sprintf("%d of %d web dynos are up; the others are still starting", up, web)
}

// notDeployed says what went wrong, what goes on serving, and what to do.
func (s *Server) notDeployed(ctx context.Context, b hoist.Build, r hoist.Release, trouble string) string {
	name := b.AppID
	if a, err := s.DB.App(ctx, b.AccountID, b.AppID); err == nil {
		name = a.Name
	}
	text := fmt.Sprintf(" failed, v%d\n !     v%d is released, but does not serve: %s.\n", r.Version, r.Version, trouble)
	if serving := s.serving(ctx, r); serving > 0 {
		text += fmt.Sprintf(" !     The dynos of the release before, v%d, go on serving until those of v%d answer.\n", serving, r.Version)
	}
	if s.earlier(ctx, r) > 0 {
		text += " !     Go back for good:  hoist rollback -a " + name + "\n"
	}
	return text + " !     See why:           hoist logs -a " + name + "\n"
}

// serving is the version of an earlier release whose web dynos are up; 0 if there is none.
func (s *Server) serving(ctx context.Context, r hoist.Release) int {
	dynos, err := s.DB.Dynos(ctx, r.AppID)
	version := 0
	for _, d := range dynos {
		if err == nil && d.Type == "web" && d.State == hoist.DynoUp && d.Version < r.Version {
			version = max(version, d.Version)
		}
	}
	return version
}

// earlier is the version of the latest release with a slug before r; 0 if
// there is none.
func (s *Server) earlier(ctx context.Context, r hoist.Release) int {
	list, err := s.DB.Releases(ctx, r.AppID)
	version := 0
	for _, other := range list {
		if err == nil && other.SlugID != "" && other.Version < r.Version {
			version = other.Version
		}
	}
	return version
}
