package api

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

type authorizationDB interface {
	Authenticate(ctx context.Context, tokenHash []byte) (hoist.Account, hoist.Authorization, error)
	CreateAuthorization(ctx context.Context, t hoist.Authorization) (hoist.Authorization, error)
	Authorizations(ctx context.Context, accountID hoist.ID) ([]hoist.Authorization, error)
	Authorization(ctx context.Context, accountID, id hoist.ID) (hoist.Authorization, error)
	DeleteAuthorization(ctx context.Context, accountID, id hoist.ID) (hoist.Authorization, error)
	DescribeAuthorization(ctx context.Context, accountID, id hoist.ID, description string) (hoist.Authorization, error)
	RegenerateAuthorization(ctx context.Context, accountID, id hoist.ID, tokenHash []byte) (hoist.Authorization, error)
}

// authorizationsMost bounds an account's tokens.
const authorizationsMost = 500

type authorizationJSON struct {
	AccessToken  *tokenJSON  `json:"access_token"`
	Client       *named      `json:"client"`
	CreatedAt    timestamp   `json:"created_at"`
	Description  string      `json:"description"`
	Grant        *identified `json:"grant"`
	ID           hoist.ID    `json:"id"`
	RefreshToken *tokenJSON  `json:"refresh_token"`
	Scope        []string    `json:"scope"`
	Session      *identified `json:"session"`
	UpdatedAt    timestamp   `json:"updated_at"`
	User         struct {
		userRef
		FullName *string `json:"full_name"`
	} `json:"user"`
}

type tokenJSON struct {
	ExpiresIn *int64   `json:"expires_in"`
	ID        hoist.ID `json:"id"`
	Token     string   `json:"token"`
}

// hiddenToken stands for a token of which only the hash is kept.
const hiddenToken = "(shown once, when it was made)"

// showAuthorization shows a token's row, and the token itself if it is known.
func (c *call) showAuthorization(t hoist.Authorization, token string) any {
	if token == "" {
		token = hiddenToken
	}
	v := authorizationJSON{
		AccessToken: &tokenJSON{ID: t.ID, Token: token},
		CreatedAt:   timestamp(t.CreatedAt), Description: t.Description, ID: t.ID, Scope: t.Scope, UpdatedAt: timestamp(t.UpdatedAt),
	}
	if t.ExpiresAt != nil {
		left := max(int64(math.Ceil(time.Until(*t.ExpiresAt).Seconds())), 0)
		v.AccessToken.ExpiresIn = &left
	}
	v.User.userRef = userRef{c.account.ID, c.account.Email}
	v.User.FullName = optional(c.account.Name)
	return v
}

func (s *Server) authorizationRoutes(on func(string, handler)) {
	on("POST /oauth/authorizations", s.authorizationCreate)
	on("GET /oauth/authorizations", s.authorizationList)
	on("GET /oauth/authorizations/{id}", func(c *call) (any, error) {
		t, err := s.DB.Authorization(c.Context(), c.account.ID, c.authorizationID())
		return c.showAuthorization(t, ""), err
	})
	on("DELETE /oauth/authorizations/{id}", func(c *call) (any, error) {
		t, err := s.DB.DeleteAuthorization(c.Context(), c.account.ID, c.authorizationID())
		return c.showAuthorization(t, ""), err
	})
	on("PATCH /oauth/authorizations/{id}", s.authorizationUpdate)
	on("POST /oauth/authorizations/{id}/actions/regenerate-tokens", func(c *call) (any, error) {
		token := NewToken()
		t, err := s.DB.RegenerateAuthorization(c.Context(), c.account.ID, c.authorizationID(), HashToken(token))
		return c.showAuthorization(t, token), err
	})
	on("DELETE /oauth/sessions/{id}", s.logout)
}

// authorizationID is the one in the path; "~" is the one of the request.
func (c *call) authorizationID() hoist.ID {
	if id := c.PathValue("id"); id != "~" {
		return id
	}
	return c.auth.ID
}

func (s *Server) authorizationCreate(c *call) (any, error) {
	var in struct {
		Scope       []string `json:"scope"`
		Description string   `json:"description"`
		ExpiresIn   *int64   `json:"expires_in"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Scope) == 0 {
		in.Scope = []string{"global"}
	}
	for _, scope := range in.Scope {
		if !slices.Contains(scopes, scope) {
			return nil, hoist.Invalid("scope: %.40q is not a scope; there are %s.", scope, strings.Join(scopes, ", "))
		}
	}
	if err := checkDescription(in.Description); err != nil {
		return nil, err
	}
	t := hoist.Authorization{ID: hoist.NewID(), AccountID: c.account.ID, Description: in.Description, Scope: in.Scope}
	if in.ExpiresIn != nil {
		if *in.ExpiresIn <= 0 || *in.ExpiresIn > int64(100*365*24*3600) {
			return nil, hoist.Invalid("expires_in must be a number of seconds from now.")
		}
		at := time.Now().Add(time.Duration(*in.ExpiresIn) * time.Second)
		t.ExpiresAt = &at
	}
	had, err := s.DB.Authorizations(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	if len(had) >= authorizationsMost {
		return nil, hoist.Invalid("The account has %d authorizations, which is the limit. Revoke some.", len(had))
	}
	token := NewToken()
	t.TokenHash = HashToken(token)
	if t, err = s.DB.CreateAuthorization(c.Context(), t); err != nil {
		return nil, err
	}
	return created(c.showAuthorization(t, token)), nil
}

func (s *Server) authorizationList(c *call) (any, error) {
	list, err := s.DB.Authorizations(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	show := func(t hoist.Authorization) any {
		if t.ID == c.auth.ID {
			return c.showAuthorization(t, c.token) // the client has it already
		}
		return c.showAuthorization(t, "")
	}
	return page(c, list, show, sortKey[hoist.Authorization]{"id", func(t hoist.Authorization) string { return t.ID }})
}

func checkDescription(text string) error {
	if len(text) > 1000 {
		return hoist.Invalid("description is too long (maximum is 1,000 characters).")
	}
	return nil
}

// authorizationUpdate describes a token otherwise. The client that the schema
// wants with it is one of OAuth, of which there are none.
func (s *Server) authorizationUpdate(c *call) (any, error) {
	var in struct {
		Description *string `json:"description"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Description == nil {
		return nil, hoist.Invalid("description: say what the authorization is for; nothing else of it can be changed.")
	}
	if err := checkDescription(*in.Description); err != nil {
		return nil, err
	}
	t, err := s.DB.DescribeAuthorization(c.Context(), c.account.ID, c.authorizationID(), *in.Description)
	return c.showAuthorization(t, ""), err
}

// logout revokes the token that the request bears.
func (s *Server) logout(c *call) (any, error) {
	if c.PathValue("id") != "~" {
		return nil, &resourceError{hoist.NotFound("session"), "session"}
	}
	t, err := s.DB.DeleteAuthorization(c.Context(), c.account.ID, c.auth.ID)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"id": t.ID, "description": t.Description,
		"created_at": timestamp(t.CreatedAt), "updated_at": timestamp(t.UpdatedAt), "expires_in": nil,
	}, nil
}
