package api

import (
	"context"
	"strings"

	"github.com/hoist-sh/hoist"
)

type collaboratorDB interface {
	Collaborators(ctx context.Context, appID hoist.ID) ([]hoist.Collaborator, error)
	AddCollaborator(ctx context.Context, c hoist.Collaborator) (hoist.Collaborator, error)
	RemoveCollaborator(ctx context.Context, appID, id hoist.ID) error
}

type collaboratorJSON struct {
	App         named     `json:"app"`
	CreatedAt   timestamp `json:"created_at"`
	ID          hoist.ID  `json:"id"`
	Permissions []named   `json:"permissions"`
	Role        string    `json:"role"`
	UpdatedAt   timestamp `json:"updated_at"`
	User        struct {
		userRef
		Federated bool `json:"federated"`
	} `json:"user"`
}

func (s *Server) collaboratorRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/collaborators", s.collaboratorList)
	onApp("POST", "/collaborators", s.collaboratorCreate)
	onApp("GET", "/collaborators/{collaborator}", func(c *call, a hoist.App) (any, error) {
		found, err := s.collaborator(c, a)
		return showCollaborator(a, found), err
	})
	onApp("DELETE", "/collaborators/{collaborator}", s.collaboratorDelete)
}

func showCollaborator(a hoist.App, c hoist.Collaborator) any {
	v := collaboratorJSON{
		App: appRef(a), CreatedAt: timestamp(c.CreatedAt), ID: c.ID, Permissions: []named{}, Role: "collaborator",
		UpdatedAt: timestamp(c.UpdatedAt),
	}
	if c.AccountID == a.OwnerID {
		v.Role = "owner"
	}
	v.User.userRef = userRef{c.AccountID, c.Email}
	return v
}

// collaborators are the app's, its owner first as Heroku has it.
func (s *Server) collaborators(ctx context.Context, a hoist.App) ([]hoist.Collaborator, error) {
	list, err := s.DB.Collaborators(ctx, a.ID)
	owner := hoist.Collaborator{
		ID: constantID("owner", a.ID), AppID: a.ID, AccountID: a.OwnerID, Email: a.OwnerEmail,
		CreatedAt: a.CreatedAt, UpdatedAt: a.CreatedAt,
	}
	return append([]hoist.Collaborator{owner}, list...), err
}

func (s *Server) collaboratorList(c *call, a hoist.App) (any, error) {
	list, err := s.collaborators(c.Context(), a)
	if err != nil {
		return nil, err
	}
	show := func(c hoist.Collaborator) any { return showCollaborator(a, c) }
	return page(c, list, show,
		sortKey[hoist.Collaborator]{"email", func(c hoist.Collaborator) string { return c.Email }},
		sortKey[hoist.Collaborator]{"id", func(c hoist.Collaborator) string { return c.ID }})
}

func (s *Server) collaborator(c *call, a hoist.App) (hoist.Collaborator, error) {
	list, err := s.collaborators(c.Context(), a)
	if err != nil {
		return hoist.Collaborator{}, err
	}
	who := c.PathValue("collaborator")
	for _, found := range list {
		if who == found.ID || who == found.AccountID || strings.EqualFold(who, found.Email) {
			return found, nil
		}
	}
	return hoist.Collaborator{}, hoist.NotFound("collaborator")
}

func (s *Server) collaboratorCreate(c *call, a hoist.App) (any, error) {
	if err := ownerOnly(c, a, "share it"); err != nil {
		return nil, err
	}
	var in struct {
		User identity `json:"user"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.User == "" {
		return nil, hoist.Invalid("user: name the person by e-mail address.")
	}
	account, err := s.DB.Account(c.Context(), string(in.User))
	if e, ok := hoist.AsError(err); ok && e.Is(hoist.ErrNotFound) {
		return nil, hoist.Invalid("There is no account %.100s. Whoever runs the platform can make one: hoist seed exec api hoist admin account EMAIL", in.User)
	}
	if err != nil {
		return nil, err
	}
	if account.ID == a.OwnerID {
		return nil, hoist.Invalid("%s owns %s.", account.Email, a.Name)
	}
	added, err := s.DB.AddCollaborator(c.Context(), hoist.Collaborator{ID: hoist.NewID(), AppID: a.ID, AccountID: account.ID})
	if err != nil {
		return nil, err
	}
	s.event(a.ID, "Add %s as collaborator by user %s", added.Email, c.account.Email)
	return created(showCollaborator(a, added)), nil
}

func (s *Server) collaboratorDelete(c *call, a hoist.App) (any, error) {
	found, err := s.collaborator(c, a)
	if err != nil {
		return nil, err
	}
	if found.AccountID == a.OwnerID {
		return nil, hoist.Invalid("%s owns %s and cannot be removed.", found.Email, a.Name)
	}
	if found.AccountID != c.account.ID { // one may leave oneself
		if err := ownerOnly(c, a, "remove collaborators"); err != nil {
			return nil, err
		}
	}
	if err := s.DB.RemoveCollaborator(c.Context(), a.ID, found.ID); err != nil {
		return nil, err
	}
	s.event(a.ID, "Remove %s from collaborators by user %s", found.Email, c.account.Email)
	return showCollaborator(a, found), nil
}
