package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/hoist-sh/hoist"
)

type logSessionDB interface {
	CreateLogSession(ctx context.Context, s hoist.LogSession, tokenHash []byte) (hoist.LogSession, error)
}

// logLines is how many lines a log session shows if nobody says.
const logLines = 100

func (s *Server) logSessionRoutes(onApp func(string, string, appHandler)) {
	onApp("POST", "/log-sessions", s.logSessionCreate)
}

func (s *Server) logSessionCreate(c *call, a hoist.App) (any, error) {
	var in struct {
		Lines    *int   `json:"lines"`
		Tail     bool   `json:"tail"`
		Source   string `json:"source"`
		Dyno     string `json:"dyno"`
		DynoName string `json:"dyno_name"`
		Type     string `json:"type"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	session := hoist.LogSession{ID: hoist.NewID(), AppID: a.ID, Lines: logLines, Tail: in.Tail, Source: shorten(in.Source, 100)}
	if in.Lines != nil {
		session.Lines = min(max(*in.Lines, 0), hoist.LogKeep)
	}
	for _, name := range []string{in.Type, in.DynoName, in.Dyno} {
		if name != "" {
			session.Dyno = shorten(name, 150)
		}
	}
	token := hoist.NewSecret()
	session, err := s.DB.CreateLogSession(c.Context(), session, HashToken(token))
	if err != nil {
		return nil, err
	}
	// Clients read from the URL whether to go on; the session says what may be read.
	query := url.Values{"lines": {strconv.Itoa(session.Lines)}}
	if session.Tail {
		query.Set("tail", "true")
	}
	return created(map[string]any{
		"id":          session.ID,
		"logplex_url": s.Public.API() + "streams/" + token + "?" + query.Encode(),
		"created_at":  timestamp(session.CreatedAt),
		"updated_at":  timestamp(session.CreatedAt),
	}), nil
}
