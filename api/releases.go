package api

import (
	"context"
	"strconv"

	"github.com/hoist-sh/hoist"
)

type releaseDB interface {
	Releases(ctx context.Context, appID hoist.ID) ([]hoist.Release, error)
	Release(ctx context.Context, appID hoist.ID, identity string) (hoist.Release, error)
	ReleaseSlug(ctx context.Context, r hoist.Release) (hoist.Release, error)
	Rollback(ctx context.Context, appID, accountID hoist.ID, identity string) (hoist.Release, error)
}

type releaseJSON struct {
	AddonPlanNames      []string    `json:"addon_plan_names"`
	App                 named       `json:"app"`
	Artifacts           []artifact  `json:"artifacts"`
	CreatedAt           timestamp   `json:"created_at"`
	Current             bool        `json:"current"`
	Description         string      `json:"description"`
	EligibleForRollback bool        `json:"eligible_for_rollback"`
	ID                  hoist.ID    `json:"id"`
	OutputStreamURL     *string     `json:"output_stream_url"`
	Slug                *identified `json:"slug"`
	Reason              string      `json:"reason,omitempty"` // hoist's own
	Status              string      `json:"status"`
	UpdatedAt           timestamp   `json:"updated_at"`
	User                userRef     `json:"user"`
	Version             int         `json:"version"`
}

type artifact struct {
	Type string   `json:"type"`
	ID   hoist.ID `json:"id"`
}

func showRelease(a hoist.App, r hoist.Release) any {
	v := releaseJSON{
		AddonPlanNames: []string{}, App: appRef(a), Artifacts: []artifact{}, CreatedAt: timestamp(r.CreatedAt),
		Current: r.Current, Description: r.Description, EligibleForRollback: r.SlugID != "" && r.Status != hoist.ReleaseFailed, ID: r.ID,
		Slug: optionalRef(r.SlugID), Reason: r.Reason, Status: r.Status, UpdatedAt: timestamp(r.UpdatedAt),
		User: userRef{r.AccountID, r.Email}, Version: r.Version,
	}
	if r.SlugID != "" {
		v.Artifacts = append(v.Artifacts, artifact{"slug", r.SlugID})
	}
	return v
}

func (s *Server) releaseRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/releases", func(c *call, a hoist.App) (any, error) {
		list, err := s.DB.Releases(c.Context(), a.ID)
		if err != nil {
			return nil, err
		}
		return page(c, list, func(r hoist.Release) any { return showRelease(a, r) },
			sortKey[hoist.Release]{"version", func(r hoist.Release) string { return strconv.Itoa(r.Version) }},
			sortKey[hoist.Release]{"id", func(r hoist.Release) string { return r.ID }})
	})
	onApp("GET", "/releases/{release}", func(c *call, a hoist.App) (any, error) {
		r, err := s.DB.Release(c.Context(), a.ID, c.PathValue("release"))
		return showRelease(a, r), err
	})
	onApp("GET", "/releases/{release}/config-vars", func(c *call, a hoist.App) (any, error) {
		r, err := s.DB.Release(c.Context(), a.ID, c.PathValue("release"))
		return r.Config, err
	})
	onApp("POST", "/releases", s.releaseCreate)
}

// releaseCreate releases a slug, or rolls back to an earlier release.
func (s *Server) releaseCreate(c *call, a hoist.App) (any, error) {
	var in struct {
		Slug        identity `json:"slug"`
		Release     identity `json:"release"`
		Description string   `json:"description"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var r hoist.Release
	var err error
	switch {
	case in.Release != "":
		r, err = s.DB.Rollback(c.Context(), a.ID, c.account.ID, string(in.Release))
	case in.Slug != "":
		r, err = s.releaseSlug(c, a, hoist.ID(in.Slug), shorten(in.Description, 1000))
	default:
		err = hoist.Invalid("slug: say which slug to release, or which release to roll back to.")
	}
	if err != nil {
		return nil, err
	}
	s.released(r)
	return created(showRelease(a, r)), nil
}

func (s *Server) releaseSlug(c *call, a hoist.App, id hoist.ID, description string) (hoist.Release, error) {
	slug, err := s.DB.Slug(c.Context(), a.ID, id)
	if err != nil {
		return hoist.Release{}, err
	}
	if err := s.checkStored(c.Context(), slug); err != nil {
		return hoist.Release{}, err
	}
	if description == "" {
		description = deployDescription(slug.Commit, slug.ID)
	}
	return s.DB.ReleaseSlug(c.Context(), hoist.Release{AppID: a.ID, AccountID: c.account.ID, SlugID: slug.ID, Description: description})
}
