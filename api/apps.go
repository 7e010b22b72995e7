package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

type appDB interface {
	CreateApp(ctx context.Context, a hoist.App) (hoist.App, error)
	App(ctx context.Context, accountID hoist.ID, identity string) (hoist.App, error)
	Apps(ctx context.Context, accountID hoist.ID) ([]hoist.App, error)
	UpdateApp(ctx context.Context, id hoist.ID, change hoist.AppChange) (hoist.App, error)
	DeleteApp(ctx context.Context, id hoist.ID) error
}

type appJSON struct {
	ACM               bool       `json:"acm"`
	ArchivedAt        *timestamp `json:"archived_at"`
	BuildpackProvided *string    `json:"buildpack_provided_description"`
	BuildStack        named      `json:"build_stack"`
	CreatedAt         timestamp  `json:"created_at"`
	Generation        named      `json:"generation"`
	GitURL            string     `json:"git_url"`
	SSHGitURL         string     `json:"ssh_git_url,omitempty"` // hoist's own
	ID                hoist.ID   `json:"id"`
	InternalRouting   *bool      `json:"internal_routing"`
	Maintenance       bool       `json:"maintenance"`
	Name              string     `json:"name"`
	Organization      *named     `json:"organization"`
	Owner             userRef    `json:"owner"`
	Region            named      `json:"region"`
	ReleasedAt        *timestamp `json:"released_at"`
	RepoSize          *int64     `json:"repo_size"`
	SlugSize          *int64     `json:"slug_size"`
	Space             *named     `json:"space"`
	Stack             named      `json:"stack"`
	Team              *named     `json:"team"`
	UpdatedAt         timestamp  `json:"updated_at"`
	WebURL            string     `json:"web_url"`
}

func (s *Server) showApp(a hoist.App) any {
	v := appJSON{
		BuildpackProvided: optional(a.BuildpackProvided),
		BuildStack:        refTo("stack", a.Stack),
		CreatedAt:         timestamp(a.CreatedAt),
		Generation:        refTo("generation", "cedar"),
		GitURL:            s.Public.GitHTTP(a.Name),
		ID:                a.ID,
		Maintenance:       a.Maintenance,
		Name:              a.Name,
		Owner:             userRef{a.OwnerID, a.OwnerEmail},
		Region:            refTo("region", a.Region),
		ReleasedAt:        optionalTime(a.ReleasedAt),
		RepoSize:          optionalSize(a.RepoSize),
		SlugSize:          optionalSize(a.SlugSize),
		Stack:             refTo("stack", a.Stack),
		UpdatedAt:         timestamp(a.UpdatedAt),
		WebURL:            s.Public.URL(a.Name),
	}
	if s.Public.SSH != 0 {
		v.SSHGitURL = s.Public.GitSSH(a.Name)
	}
	return v
}

func optionalSize(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// appRef is a reference to an app.
func appRef(a hoist.App) named { return named{a.ID, a.Name} }

func (s *Server) appRoutes(on func(string, handler), onApp func(string, string, appHandler)) {
	on("POST /apps", s.appCreate)
	on("GET /apps", s.appList)
	on("POST /filters/apps", s.appFilter)
	on("GET /users/{user}/apps", func(c *call) (any, error) {
		if err := c.self(); err != nil {
			return nil, err
		}
		return s.appList(c)
	})
	onApp("GET", "", func(_ *call, a hoist.App) (any, error) { return s.showApp(a), nil })
	onApp("PATCH", "", s.appUpdate)
	onApp("DELETE", "", s.appDelete)
}

// checkName is an error for the user unless an app may be called name.
func checkName(name string) error {
	switch {
	case len(name) < 3:
		return hoist.Invalid("Name is too short (minimum is 3 characters)")
	case len(name) > 30:
		return hoist.Invalid("Name is too long (maximum is 30 characters)")
	case !hoist.AppName.MatchString(name):
		return hoist.Invalid("Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes.")
	case slices.Contains(hoist.ReservedNames, name):
		return hoist.Invalid("Name %s is reserved for the platform itself.", name)
	}
	return nil
}

func (s *Server) appCreate(c *call) (any, error) {
	var in struct {
		Name   *string  `json:"name"`
		Stack  identity `json:"stack"`
		Region identity `json:"region"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	a := hoist.App{ID: hoist.NewID(), OwnerID: c.account.ID, Stack: s.Stack, Region: region}
	if in.Name != nil && *in.Name != "" {
		a.Name = *in.Name
		if err := checkName(a.Name); err != nil {
			return nil, err
		}
	}
	if err := s.checkStack(in.Stack); err != nil {
		return nil, err
	}
	if !in.Region.is("", region, constantID("region", region)) {
		return nil, hoist.Invalid("region: there is no %.40q here, only %s.", in.Region, region)
	}
	generated := a.Name == ""
	for attempt := 0; ; attempt++ {
		if generated {
			a.Name = generateName()
		}
		made, err := s.DB.CreateApp(c.Context(), a)
		if e, ok := hoist.AsError(err); generated && ok && e.Status == http.StatusUnprocessableEntity && attempt < 5 {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.ring(made.ID)
		s.event(made.ID, "Initial release by user %s", c.account.Email)
		return created(s.showApp(made)), nil
	}
}

func (s *Server) appList(c *call) (any, error) {
	list, err := s.DB.Apps(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	return page(c, list, s.showApp,
		sortKey[hoist.App]{"name", func(a hoist.App) string { return a.Name }},
		sortKey[hoist.App]{"id", func(a hoist.App) string { return a.ID }},
		sortKey[hoist.App]{"created_at", func(a hoist.App) string { return sortableTime(a.CreatedAt) }},
		sortKey[hoist.App]{"updated_at", func(a hoist.App) string { return sortableTime(a.UpdatedAt) }})
}

// appFilter lists the apps among some, by ID or name, on which the account may
// work.
func (s *Server) appFilter(c *call) (any, error) {
	var in struct {
		In struct {
			ID []string `json:"id"`
		} `json:"in"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	list, err := s.DB.Apps(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	shown := []any{}
	for _, a := range list {
		if slices.Contains(in.In.ID, a.ID) || slices.Contains(in.In.ID, a.Name) {
			shown = append(shown, s.showApp(a))
		}
	}
	return shown, nil
}

func (s *Server) appUpdate(c *call, a hoist.App) (any, error) {
	var in struct {
		Name        *string  `json:"name"`
		Maintenance *bool    `json:"maintenance"`
		BuildStack  identity `json:"build_stack"`
		Stack       identity `json:"stack"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	change := hoist.AppChange{Maintenance: in.Maintenance}
	if in.Name != nil && *in.Name != a.Name {
		if err := ownerOnly(c, a, "rename it"); err != nil {
			return nil, err
		}
		if err := checkName(*in.Name); err != nil {
			return nil, err
		}
		change.Name = in.Name
	}
	for _, stack := range []identity{in.BuildStack, in.Stack} {
		if err := s.checkStack(stack); err != nil {
			return nil, err
		}
		if stack != "" {
			change.Stack = &s.Stack
		}
	}
	updated, err := s.DB.UpdateApp(c.Context(), a.ID, change)
	if err != nil {
		return nil, err
	}
	s.ring(a.ID)
	if change.Name != nil {
		s.event(a.ID, "Renamed from %s to %s by user %s", a.Name, *change.Name, c.account.Email)
	}
	if on := change.Maintenance; on != nil && *on != a.Maintenance {
		s.event(a.ID, "%s maintenance mode by user %s", map[bool]string{true: "Enabled", false: "Disabled"}[*on], c.account.Email)
	}
	return s.showApp(updated), nil
}

func (s *Server) appDelete(c *call, a hoist.App) (any, error) {
	if err := ownerOnly(c, a, "destroy it"); err != nil {
		return nil, err
	}
	if err := s.DB.DeleteApp(c.Context(), a.ID); err != nil {
		return nil, err
	}
	s.ring(a.ID)
	return s.showApp(a), nil
}

// ownerOnly is an error unless the account owns the app and the app is not the
// platform's own.
func ownerOnly(c *call, a hoist.App, what string) error {
	if a.System {
		return forbidden(a.Name + " is the platform itself; nobody can " + what + ".")
	}
	if a.OwnerID != c.account.ID {
		return forbidden("Only the owner of " + a.Name + ", " + a.OwnerEmail + ", can " + what + ".")
	}
	return nil
}

// checkStack is an error for the user unless a stack, if named, is the one
// there is.
func (s *Server) checkStack(stack identity) error {
	if stack.is("", s.Stack, constantID("stack", s.Stack)) {
		return nil
	}
	return hoist.Invalid("stack: there is no %.40q here, only %s.", strings.TrimSpace(string(stack)), s.Stack)
}
