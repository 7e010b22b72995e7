package api

import (
	"context"
	"net/http"
	"net/url"
	"regexp"

	"github.com/hoist-sh/hoist"
)

func (s *Server) sourceRoutes(on func(string, handler), onApp func(string, string, appHandler)) {
	on("POST /sources", s.sourceCreate)
	onApp("POST", "/sources", func(c *call, _ hoist.App) (any, error) { return s.sourceCreate(c) })
}

// sourceCreate gives a place for a source archive: it is kept for
// blobGrace, in which builds may be made of it.
func (s *Server) sourceCreate(c *call) (any, error) {
	key := sourcePrefix + c.account.ID + "/" + hoist.NewID() + ".tgz"
	get, err := s.Blobs.Presign(c.Context(), http.MethodGet, key, transferTime, hoist.FromPublic)
	if err != nil {
		return nil, err
	}
	put, err := s.Blobs.Presign(c.Context(), http.MethodPut, key, transferTime, hoist.FromPublic)
	if err != nil {
		return nil, err
	}
	return created(map[string]any{"source_blob": map[string]string{"get_url": get, "put_url": put}}), nil
}

var sourcePath = regexp.MustCompile(sourcePrefix + `([0-9a-f-]{36})/[0-9a-f-]{36}\.tgz$`)

// sourceKey is the key of a source archive that the account uploaded, if it is
// what the URL is for; such a URL need not be reachable from where builds run.
func (s *Server) sourceKey(ctx context.Context, accountID hoist.ID, source *url.URL) (string, error) {
	m := sourcePath.FindStringSubmatch(source.Path)
	if m == nil || m[1] != accountID {
		return "", nil
	}
	ours, err := s.Blobs.Presign(ctx, http.MethodGet, m[0], transferTime, hoist.FromPublic)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(ours)
	if err != nil || u.Host != source.Host || u.Path != source.Path {
		return "", err
	}
	return m[0], nil
}
