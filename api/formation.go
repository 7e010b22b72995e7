package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

type formationDB interface {
	Formation(ctx context.Context, appID hoist.ID) ([]hoist.ProcessType, error)
	UpdateFormation(ctx context.Context, appID hoist.ID, change func([]hoist.ProcessType) error) ([]hoist.ProcessType, error)
}

// quantityMost is the most dynos of a process type.
const quantityMost = 100

type formationJSON struct {
	App       named     `json:"app"`
	Command   string    `json:"command"`
	CreatedAt timestamp `json:"created_at"`
	DynoSize  named     `json:"dyno_size"`
	ID        hoist.ID  `json:"id"`
	Quantity  int       `json:"quantity"`
	Size      string    `json:"size"`
	Type      string    `json:"type"`
	UpdatedAt timestamp `json:"updated_at"`
}

func showProcessType(a hoist.App, p hoist.ProcessType) any {
	return formationJSON{
		App: appRef(a), Command: p.Command, CreatedAt: timestamp(p.CreatedAt), DynoSize: refTo("size", p.Size), ID: p.ID,
		Quantity: p.Quantity, Size: p.Size, Type: p.Type, UpdatedAt: timestamp(p.UpdatedAt),
	}
}

func (s *Server) formationRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/formation", func(c *call, a hoist.App) (any, error) {
		list, err := s.DB.Formation(c.Context(), a.ID)
		if err != nil {
			return nil, err
		}
		return pageFormation(c, a, list)
	})
	onApp("GET", "/formation/{type}", func(c *call, a hoist.App) (any, error) {
		list, err := s.DB.Formation(c.Context(), a.ID)
		if err != nil {
			return nil, err
		}
		p, err := findProcessType(list, c.PathValue("type"))
		if err != nil {
			return nil, err
		}
		return showProcessType(a, *p), nil
	})
	onApp("PATCH", "/formation", s.formationBatch)
	onApp("PATCH", "/formation/{type}", s.formationUpdate)
}

func pageFormation(c *call, a hoist.App, list []hoist.ProcessType) (any, error) {
	return page(c, list, func(p hoist.ProcessType) any { return showProcessType(a, p) },
		sortKey[hoist.ProcessType]{"type", func(p hoist.ProcessType) string { return p.Type }},
		sortKey[hoist.ProcessType]{"id", func(p hoist.ProcessType) string { return p.ID }})
}

// findProcessType finds a process type by name or ID.
func findProcessType(list []hoist.ProcessType, identity string) (*hoist.ProcessType, error) {
	i := slices.IndexFunc(list, func(p hoist.ProcessType) bool { return p.Type == identity || p.ID == identity })
	if i >= 0 {
		return &list[i], nil
	}
	var have []string
	for _, p := range list {
		have = append(have, p.Type)
	}
	message := "Couldn't find that process type (" + shorten(identity, 40) + ")."
	if len(have) > 0 {
		message += " The Procfile has " + strings.Join(have, ", ") + "."
	} else {
		message += " Deploy the app first."
	}
	return nil, &hoist.Error{ID: "not_found", Message: message, Status: http.StatusNotFound}
}

// scaling is a change of one process type.
type scaling struct {
	Type     identity `json:"type"`
	Process  identity `json:"process"` // as older clients call it
	Quantity quantity `json:"quantity"`
	Size     identity `json:"size"`
	DynoSize identity `json:"dyno_size"`
}

func (u scaling) apply(a hoist.App, list []hoist.ProcessType) error {
	if u.Type+u.Process == "" {
		return hoist.Invalid("type: say which process type to change.")
	}
	p, err := findProcessType(list, string(u.Type+u.Process))
	if err != nil {
		return err
	}
	if p.Quantity, err = u.Quantity.of(p.Type, p.Quantity); err != nil {
		return err
	}
	if a.System && p.Type == hoist.ComponentRuntime && u.Quantity.set && p.Quantity > hoist.MaxRuntimes {
		return hoist.Invalid("quantity: runtime of %s cannot be scaled to %d, only to 0 to %d: an upgrade starts as many new ones before the old ones stop, and a machine has no places for more.",
			a.Name, p.Quantity, hoist.MaxRuntimes)
	}
	if size := u.Size + u.DynoSize; size != "" {
		known, err := sizeNamed(string(size))
		if err != nil {
			return err
		}
		p.Size = known.Name
	}
	return nil
}

func (s *Server) formationBatch(c *call, a hoist.App) (any, error) {
	var in struct {
		Updates []scaling `json:"updates"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Updates) == 0 {
		return nil, hoist.Invalid("updates: say what to change, such as {\"updates\": [{\"type\": \"web\", \"quantity\": 2}]}.")
	}
	list, err := s.scale(c, a, in.Updates)
	if err != nil {
		return nil, err
	}
	return pageFormation(c, a, list)
}

func (s *Server) formationUpdate(c *call, a hoist.App) (any, error) {
	var in scaling
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	in.Type, in.Process = identity(c.PathValue("type")), ""
	list, err := s.scale(c, a, []scaling{in})
	if err != nil {
		return nil, err
	}
	p, err := findProcessType(list, string(in.Type))
	if err != nil {
		return nil, err
	}
	return showProcessType(a, *p), nil
}

// scale applies all changes or none.
func (s *Server) scale(c *call, a hoist.App, updates []scaling) ([]hoist.ProcessType, error) {
	list, err := s.DB.UpdateFormation(c.Context(), a.ID, func(list []hoist.ProcessType) error {
		for _, u := range updates {
			if err := u.apply(a, list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.ring(a.ID)
	var text []string
	for _, p := range list {
		text = append(text, p.Type+"@"+strconv.Itoa(p.Quantity)+":"+p.Size)
	}
	s.event(a.ID, "Scaled to %s by user %s", strings.Join(text, " "), c.account.Email)
	return list, nil
}

// quantity is how many dynos there should be: 2, "2", or relative, "+1".
type quantity struct {
	set      bool
	relative bool
	n        int
}

// UnmarshalJSON implements json.Unmarshaler.
func (q *quantity) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if text == "null" {
		return nil
	}
	quoted := raw[0] == '"'
	if quoted {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < -quantityMost || n > quantityMost {
		return wrongQuantity(shorten(text, 40))
	}
	relative := quoted && (text[0] == '+' || text[0] == '-')
	if n < 0 && !relative {
		return wrongQuantity(text)
	}
	*q = quantity{set: true, relative: relative, n: n}
	return nil
}

// of is the quantity for a type that has now.
func (q quantity) of(name string, now int) (int, error) {
	switch {
	case !q.set:
		return now, nil
	case q.relative:
		now += q.n
	default:
		now = q.n
	}
	if now < 0 || now > quantityMost {
		return 0, hoist.Invalid("quantity: %s cannot be scaled to %d, only to 0 to %d.", name, now, quantityMost)
	}
	return now, nil
}

func wrongQuantity(text string) error {
	return hoist.Invalid("quantity: %q is not a number from 0 to %d, nor relative like \"+1\".", text, quantityMost)
}

// sizeNamed finds a dyno size by name, in any case, or ID.
func sizeNamed(name string) (hoist.Size, error) {
	var names []string
	for _, size := range hoist.Sizes {
		if strings.EqualFold(size.Name, name) || constantID("size", size.Name) == name {
			return size, nil
		}
		names = append(names, size.Name)
	}
	return hoist.Size{}, hoist.Invalid("size: no such dyno size as %.40q. There are %s.", name, strings.Join(names, ", "))
}
