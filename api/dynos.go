package api

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

type dynoDB interface {
	RunDyno(ctx context.Context, d hoist.Dyno, limit int) (hoist.Dyno, error)
	Dynos(ctx context.Context, appID hoist.ID) ([]hoist.Dyno, error)
	Dyno(ctx context.Context, appID hoist.ID, identity string) (hoist.Dyno, error)
	StopDynos(ctx context.Context, appID hoist.ID, identity, processType string, want hoist.DynoWant) (int64, error)
}

// Bounds of one-off dynos.
const (
	runMost     = 50             // at a time, for each app
	runLongest  = 24 * time.Hour // as on Heroku, where dynos are cycled
	commandMost = 32 << 10       // bytes
	envMost     = 32 << 10       // bytes
)

var processTypeName = regexp.MustCompile(`^[-\w]{1,128}$`)

type dynoJSON struct {
	App       named     `json:"app"`
	AttachURL *string   `json:"attach_url"`
	Command   string    `json:"command"`
	CreatedAt timestamp `json:"created_at"`
	ID        hoist.ID  `json:"id"`
	Name      string    `json:"name"`
	Release   struct {
		ID      hoist.ID `json:"id"`
		Version int      `json:"version"`
	} `json:"release"`
	Size      string          `json:"size"`
	State     hoist.DynoState `json:"state"`
	Type      string          `json:"type"`
	UpdatedAt timestamp       `json:"updated_at"`          // since when the state holds
	ExitCode  *int            `json:"exit_code,omitempty"` // hoist's own; of a one-off that ended
	Reason    string          `json:"reason,omitempty"`    // hoist's own; why it has crashed, if that is known
}

func showDyno(a hoist.App, d hoist.Dyno) dynoJSON {
	v := dynoJSON{
		App: appRef(a), Command: d.Command, CreatedAt: timestamp(d.CreatedAt), ID: d.ID, Name: d.Name(),
		Size: d.Size, State: d.State, Type: d.Type, UpdatedAt: timestamp(d.StateAt),
	}
	if d.State == hoist.DynoDown {
		v.ExitCode = d.ExitCode
	}
	if d.State == hoist.DynoCrashed {
		v.Reason = d.Reason
	}
	v.Release.ID, v.Release.Version = d.ReleaseID, d.Version
	return v
}

func (s *Server) dynoRoutes(onApp func(string, string, appHandler)) {
	onApp("POST", "/dynos", s.dynoRun)
	onApp("GET", "/dynos", s.dynoList)
	onApp("GET", "/dynos/{dyno}", s.dynoInfo)
	onApp("DELETE", "/dynos", s.dynoStopper("Restarting all dynos", hoist.WantRestart))
	onApp("DELETE", "/dynos/{dyno}", s.dynoStopper("Restarting", hoist.WantRestart))
	onApp("POST", "/dynos/{dyno}/actions/stop", s.dynoStopper("Stopping", hoist.WantDown))
	onApp("DELETE", "/formations/{type}", s.dynoStopper("Restarting all of", hoist.WantRestart))
	onApp("POST", "/formations/{type}/actions/stop", s.dynoStopper("Stopping all of", hoist.WantDown))
}

func (s *Server) dynoList(c *call, a hoist.App) (any, error) {
	list, err := s.DB.Dynos(c.Context(), a.ID)
	if err != nil {
		return nil, err
	}
	return page(c, list, func(d hoist.Dyno) any { return showDyno(a, d) },
		sortKey[hoist.Dyno]{"name", dynoSortName},
		sortKey[hoist.Dyno]{"id", func(d hoist.Dyno) string { return d.ID }})
}

// dynoSortName is unique also while two releases have a dyno of the same name.
func dynoSortName(d hoist.Dyno) string { return d.Name() + " " + sortableTime(d.CreatedAt) }

func (s *Server) dynoInfo(c *call, a hoist.App) (any, error) {
	d, err := s.DB.Dyno(c.Context(), a.ID, c.PathValue("dyno"))
	return showDyno(a, d), err
}

// envValue is the value of a variable. The Heroku CLI sends the terminal's
// width and height as numbers, against the schema.
type envValue string

// UnmarshalJSON implements json.Unmarshaler.
func (v *envValue) UnmarshalJSON(raw []byte) error {
	var n json.Number
	if err := json.Unmarshal(raw, &n); err == nil && raw[0] != '"' {
		*v = envValue(n)
		return nil
	}
	return json.Unmarshal(raw, (*string)(v))
}

func (s *Server) dynoRun(c *call, a hoist.App) (any, error) {
	var in struct {
		Attach     bool                `json:"attach"`
		Command    string              `json:"command"`
		Env        map[string]envValue `json:"env"`
		ForceNoTTY bool                `json:"force_no_tty"`
		Size       identity            `json:"size"`
		Type       string              `json:"type"`
		TimeToLive int64               `json:"time_to_live"` // seconds
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	d := hoist.Dyno{
		ID: hoist.NewID(), AppID: a.ID, Kind: hoist.KindRun, Type: "run", Size: hoist.DefaultSize,
		Command: in.Command, Env: map[string]string{}, Attach: in.Attach, TTY: in.Attach && !in.ForceNoTTY, Timeout: runLongest,
	}
	if strings.TrimSpace(d.Command) == "" || len(d.Command) > commandMost {
		return nil, hoist.Invalid("command: say what to run, in at most %d bytes.", commandMost)
	}
	size := 0
	for name, value := range in.Env {
		if !hoist.ConfigVarName.MatchString(name) {
			return nil, hoist.Invalid("env: %.60q is not the name of a variable.", name)
		}
		size += len(name) + len(value)
		d.Env[name] = string(value)
	}
	if size > envMost {
		return nil, hoist.Invalid("env has %d bytes; at most %d are possible.", size, envMost)
	}
	if in.Size != "" {
		known, err := sizeNamed(string(in.Size))
		if err != nil {
			return nil, err
		}
		d.Size = known.Name
	}
	if in.Type != "" {
		d.Type = in.Type
	}
	if err := s.checkRunType(c, a, d.Type); err != nil {
		return nil, err
	}
	if in.TimeToLive < 0 {
		return nil, hoist.Invalid("time_to_live must be a number of seconds.")
	}
	if ttl := time.Duration(min(in.TimeToLive, int64(runLongest/time.Second))) * time.Second; ttl > 0 {
		d.Timeout = ttl
	}
	secret := ""
	if d.Attach {
		secret = hoist.NewSecret()
		d.SecretHash = HashToken(secret)
	}
	d, err := s.DB.RunDyno(c.Context(), d, runMost)
	if err != nil {
		return nil, err
	}
	s.Bus.Ring(hoist.BellFormation+a.ID, nil)
	s.event(a.ID, "Starting process with command `%s` by user %s", shorten(oneLine(d.Command), 200), c.account.Email)
	v := showDyno(a, d)
	if d.Attach {
		url := s.Public.AttachURL(secret)
		v.AttachURL = &url
	}
	return created(v), nil
}

// checkRunType refuses names that dynos of the formation have.
func (s *Server) checkRunType(c *call, a hoist.App, name string) error {
	if !processTypeName.MatchString(name) {
		return hoist.Invalid("type: %.40q is not a process type; letters, digits, - and _ are possible.", name)
	}
	if name == "run" {
		return nil
	}
	list, err := s.DB.Formation(c.Context(), a.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Type == name {
			return hoist.Invalid("type: %s.1 and so on are names of the formation's dynos. Scale it, or run under another type.", name)
		}
	}
	return nil
}

// oneLine keeps a user's text from looking like several log lines.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, s)
}

// dynoStopper asks for the dynos in the path, or all of the formation, to end.
// Those of the formation come again as new ones, before the old ones end if
// want is WantRestart.
func (s *Server) dynoStopper(what string, want hoist.DynoWant) appHandler {
	return func(c *call, a hoist.App) (any, error) {
		dyno, processType := c.PathValue("dyno"), c.PathValue("type")
		n, err := s.DB.StopDynos(c.Context(), a.ID, dyno, processType, want)
		if err != nil {
			return nil, err
		}
		if n == 0 && dyno != "" {
			return nil, hoist.NotFound("dyno")
		}
		if n == 0 && processType != "" {
			list, err := s.DB.Formation(c.Context(), a.ID)
			if err != nil {
				return nil, err
			}
			if _, err := findProcessType(list, processType); err != nil {
				return nil, err
			}
		}
		s.Bus.Ring(hoist.BellFormation+a.ID, nil)
		s.event(a.ID, "%s by user %s", strings.TrimSpace(what+" "+dyno+processType), c.account.Email)
		return reply{status: http.StatusAccepted, body: struct{}{}}, nil
	}
}
