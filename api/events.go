package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hoist-sh/hoist"
)

// event writes a line into an app's log: `app[api]: Scaled to web@2:Basic by
// user ann@example.com`.
func (s *Server) event(appID hoist.ID, format string, args ...any) {
	line, err := json.Marshal(hoist.LogLine{Time: time.Now(), Source: "app", Dyno: "api", Text: oneLine(fmt.Sprintf(format, args...))})
	if err == nil {
		s.Bus.Append(hoist.StreamLogs+appID, line)
	}
}

// ring tells runtime and router that an app's desired state changed.
func (s *Server) ring(appID hoist.ID) {
	s.Bus.Ring(hoist.BellFormation+appID, nil)
	s.Bus.Ring(hoist.BellRoute+appID, nil)
}

// released tells the world of a new release.
func (s *Server) released(r hoist.Release) {
	s.ring(r.AppID)
	s.event(r.AppID, "%s by user %s", r.Description, r.Email)
	s.event(r.AppID, "Release v%d created by user %s", r.Version, r.Email)
}
