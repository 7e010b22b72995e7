package api

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/hoist-sh/hoist"
)

type buildDB interface {
	CreateBuild(ctx context.Context, b hoist.Build) (hoist.Build, error)
	Builds(ctx context.Context, appID hoist.ID) ([]hoist.Build, error)
	Build(ctx context.Context, appID, id hoist.ID) (hoist.Build, error)
	CancelBuild(ctx context.Context, appID, id hoist.ID) (hoist.Build, error)
	BuildOutput(ctx context.Context, id hoist.ID) (state hoist.BuildState, output, reason string, err error)
}

// openBuildsMost is how many builds of an app may wait at a time.
const openBuildsMost = 20

type buildJSON struct {
	App             identified      `json:"app"`
	Buildpacks      []buildpackJSON `json:"buildpacks"`
	CreatedAt       timestamp       `json:"created_at"`
	ID              hoist.ID        `json:"id"`
	OutputStreamURL string          `json:"output_stream_url"`
	Release         *identified     `json:"release"`
	Slug            *identified     `json:"slug"`
	SourceBlob      sourceBlob      `json:"source_blob"`
	Stack           string          `json:"stack"`
	Status          string          `json:"status"`
	UpdatedAt       timestamp       `json:"updated_at"`
	User            userRef         `json:"user"`
}

type sourceBlob struct {
	Checksum           *string `json:"checksum"`
	URL                string  `json:"url"`
	Version            *string `json:"version"`
	VersionDescription *string `json:"version_description"`
}

func (s *Server) showBuild(b hoist.Build) any {
	v := buildJSON{
		App: identified{b.AppID}, Buildpacks: []buildpackJSON{}, CreatedAt: timestamp(b.CreatedAt), ID: b.ID,
		OutputStreamURL: s.outputURL(b.ID), Release: optionalRef(b.ReleaseID), Slug: optionalRef(b.SlugID),
		SourceBlob: sourceBlob{
			Checksum: optional(b.SourceChecksum), URL: b.SourceURL, Version: optional(b.SourceVersion),
			VersionDescription: optional(b.SourceDescription),
		},
		Stack: b.Stack, Status: "pending", UpdatedAt: timestamp(b.UpdatedAt), User: userRef{b.AccountID, b.Email},
	}
	switch b.State {
	case hoist.BuildSucceeded:
		v.Status = "succeeded"
	case hoist.BuildFailed, hoist.BuildCanceled:
		v.Status = "failed"
	}
	for _, p := range b.Buildpacks {
		v.Buildpacks = append(v.Buildpacks, buildpackJSON{p.URL, p.Name})
	}
	return v
}

func (s *Server) buildRoutes(onApp func(string, string, appHandler)) {
	onApp("POST", "/builds", s.buildCreate)
	onApp("GET", "/builds", func(c *call, a hoist.App) (any, error) {
		list, err := s.DB.Builds(c.Context(), a.ID)
		if err != nil {
			return nil, err
		}
		return page(c, list, s.showBuild,
			sortKey[hoist.Build]{"created_at", func(b hoist.Build) string { return sortableTime(b.CreatedAt) }},
			sortKey[hoist.Build]{"id", func(b hoist.Build) string { return b.ID }})
	})
	onApp("GET", "/builds/{build}", func(c *call, a hoist.App) (any, error) {
		b, err := s.DB.Build(c.Context(), a.ID, c.PathValue("build"))
		return s.showBuild(b), err
	})
	onApp("GET", "/builds/{build}/result", s.buildResult)
	onApp("DELETE", "/builds/{build}", s.buildCancel)
	onApp("DELETE", "/build-cache", func(c *call, a hoist.App) (any, error) {
		var keys []string
		err := s.Blobs.List(c.Context(), cachePrefix+a.ID, func(b hoist.BlobInfo) error {
			keys = append(keys, b.Key)
			return nil
		})
		for _, key := range keys {
			if err == nil {
				err = s.Blobs.Delete(c.Context(), key)
			}
		}
		return struct{}{}, err
	})
}

func (s *Server) buildCreate(c *call, a hoist.App) (any, error) {
	var in struct {
		SourceBlob struct {
			Checksum           string `json:"checksum"`
			URL                string `json:"url"`
			Version            string `json:"version"`
			VersionDescription string `json:"version_description"`
		} `json:"source_blob"`
		Buildpacks []struct {
			URL  string `json:"url"`
			Name string `json:"name"`
		} `json:"buildpacks"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	source, err := url.Parse(in.SourceBlob.URL)
	if err != nil || source.Scheme != "http" && source.Scheme != "https" || source.Host == "" || len(in.SourceBlob.URL) > 8<<10 {
		return nil, hoist.Invalid("source_blob.url: it must be the http or https URL of a gzipped tar archive.")
	}
	b := hoist.Build{
		ID: hoist.NewID(), AppID: a.ID, AccountID: c.account.ID, Stack: a.Stack, SourceURL: in.SourceBlob.URL,
		SourceVersion:     shorten(oneLine(in.SourceBlob.Version), 200),
		SourceDescription: shorten(oneLine(in.SourceBlob.VersionDescription), 1000),
	}
	if sum := in.SourceBlob.Checksum; sum != "" {
		m := checksum.FindStringSubmatch(sum)
		if m == nil {
			return nil, hoist.Invalid("source_blob.checksum: it looks like SHA256: and 64 hexadecimal digits.")
		}
		b.SourceChecksum = "SHA256:" + strings.ToLower(m[1])
	}
	if b.SourceKey, err = s.sourceKey(c.Context(), c.account.ID, source); err != nil {
		return nil, err
	}
	if in.Buildpacks == nil {
		b.Buildpacks, err = s.DB.BuildpackInstallations(c.Context(), a.ID)
	} else {
		var chosen []string
		for _, p := range in.Buildpacks {
			if p.URL == "" {
				p.URL = p.Name
			}
			chosen = append(chosen, p.URL)
		}
		b.Buildpacks, err = s.parseBuildpacks(chosen)
	}
	if err != nil {
		return nil, err
	}
	if err := s.roomToBuild(c.Context(), a); err != nil {
		return nil, err
	}
	if b, err = s.DB.CreateBuild(c.Context(), b); err != nil {
		return nil, err
	}
	s.Bus.Ring(hoist.BellBuild, nil)
	s.event(a.ID, "Build started by user %s", c.account.Email)
	return created(s.showBuild(b)), nil
}

func (s *Server) roomToBuild(ctx context.Context, a hoist.App) error {
	list, err := s.DB.Builds(ctx, a.ID)
	open := 0
	for _, b := range list {
		if !b.State.Done() {
			open++
		}
	}
	if open >= openBuildsMost {
		return tooMany("There are too many builds of this app under way. Wait for one to end, or cancel one.")
	}
	return err
}

func (s *Server) buildCancel(c *call, a hoist.App) (any, error) {
	b, err := s.DB.CancelBuild(c.Context(), a.ID, c.PathValue("build"))
	if err != nil {
		return nil, err
	}
	if b.State == hoist.BuildCanceled {
		out := buildStream{bus: s.Bus, id: b.ID}
		out.print("\n !     Build canceled by %s\n", c.account.Email)
		out.append(hoist.BuildChunk{End: hoist.BuildCanceled})
		s.Bus.Ring(hoist.BellBuild+"."+b.ID, nil)
		s.event(a.ID, "Build canceled by user %s", c.account.Email)
	}
	return reply{status: http.StatusOK, body: s.showBuild(b)}, nil
}

// buildResult is what older clients read a build's output from.
func (s *Server) buildResult(c *call, a hoist.App) (any, error) {
	b, err := s.DB.Build(c.Context(), a.ID, c.PathValue("build"))
	if err != nil {
		return nil, err
	}
	_, output, _, err := s.DB.BuildOutput(c.Context(), b.ID)
	if err != nil {
		return nil, err
	}
	type line struct {
		Stream string `json:"stream"`
		Line   string `json:"line"`
	}
	lines := []line{}
	for text := range strings.Lines(output) {
		lines = append(lines, line{"STDOUT", text})
	}
	exit := 0
	if b.State == hoist.BuildFailed || b.State == hoist.BuildCanceled {
		exit = 1
	}
	return map[string]any{"build": s.showBuild(b), "exit_code": exit, "lines": lines}, nil
}

var commitName = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// deployDescription is the description of a release: "Deploy de63889" for a
// commit, another version as it is, and a piece of the slug's or build's ID
// where there is none.
func deployDescription(version string, id hoist.ID) string {
	if version == "" {
		version = strings.ReplaceAll(id, "-", "")
	}
	if commitName.MatchString(version) {
		version = version[:7]
	}
	return "Deploy " + shorten(version, 60)
}
