package api

import (
	"context"
	"encoding/base64"
	"net/mail"
	"strings"

	"github.com/hoist-sh/hoist"
)

type accountDB interface {
	Account(ctx context.Context, identity string) (hoist.Account, error)
	UpdateAccount(ctx context.Context, id hoist.ID, change hoist.AccountChange) (hoist.Account, error)
	DeleteAccount(ctx context.Context, id hoist.ID) error
}

type accountJSON struct {
	AllowTracking       bool       `json:"allow_tracking"`
	Beta                bool       `json:"beta"`
	CountryOfResidence  *string    `json:"country_of_residence"`
	CreatedAt           timestamp  `json:"created_at"`
	DefaultOrganization *named     `json:"default_organization"`
	DefaultTeam         *named     `json:"default_team"`
	DelinquentAt        *timestamp `json:"delinquent_at"`
	Email               string     `json:"email"`
	Federated           bool       `json:"federated"`
	ID                  hoist.ID   `json:"id"`
	IdentityProvider    *named     `json:"identity_provider"`
	LastLogin           *timestamp `json:"last_login"`
	Name                *string    `json:"name"`
	SMSNumber           *string    `json:"sms_number"`
	SuspendedAt         *timestamp `json:"suspended_at"`
	TwoFactor           bool       `json:"two_factor_authentication"`
	UpdatedAt           timestamp  `json:"updated_at"`
	Verified            bool       `json:"verified"`
}

func showAccount(a hoist.Account) any {
	return accountJSON{
		CreatedAt: timestamp(a.CreatedAt), Email: a.Email, ID: a.ID, Name: optional(a.Name),
		UpdatedAt: timestamp(a.UpdatedAt), Verified: true,
	}
}

func (s *Server) accountRoutes(on func(string, handler)) {
	show := func(c *call) (any, error) { return showAccount(c.account), nil }
	for path, of := range map[string]func(handler) handler{
		"/account":      func(h handler) handler { return h },
		"/users/{user}": oneself,
	} {
		on("GET "+path, of(show))
		on("PATCH "+path, of(s.accountUpdate))
		on("DELETE "+path, of(s.accountDelete))
	}
	on("PUT /account/password", s.accountUpdate) // the form of older clients
	on("GET /account/rate-limits", func(c *call) (any, error) {
		left, _ := s.requests.allow(c.account.ID)
		return map[string]int{"remaining": left}, nil
	})
}

// self is an error unless the user in the path is the account itself.
func (c *call) self() error {
	switch c.PathValue("user") {
	case "~", c.account.ID, c.account.Email:
		return nil
	}
	return hoist.NotFound("user")
}

// oneself lets through who is the user in the path.
func oneself(h handler) handler {
	return func(c *call) (any, error) {
		if err := c.self(); err != nil {
			return nil, err
		}
		return h(c)
	}
}

func (s *Server) accountUpdate(c *call) (any, error) {
	var in struct {
		Name            *string `json:"name"`
		Email           *string `json:"email"`
		Password        string  `json:"password"`
		CurrentPassword string  `json:"current_password"`
		NewPassword     string  `json:"new_password"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	change := hoist.AccountChange{Name: in.Name}
	if in.Name != nil && len(*in.Name) > 200 {
		return nil, hoist.Invalid("Name is too long (maximum is 200 characters).")
	}
	if in.Email != nil && *in.Email != c.account.Email {
		return nil, forbidden("The e-mail address cannot be changed here: this platform sends no mail, so it cannot see whose it is. " +
			"Whoever runs the platform can change it: hoist seed exec api hoist admin email " + c.account.Email + " NEW")
	}
	// What would let a thief of the token take the account over needs the
	// password.
	if in.NewPassword != "" {
		if err := s.checkOwnPassword(c, in.Password+in.CurrentPassword, "as password in the body"); err != nil {
			return nil, err
		}
		hash, err := HashPassword(in.NewPassword)
		if err != nil {
			return nil, err
		}
		// A changed password ends what the old one has let in.
		change.PasswordHash, change.RevokeBut = &hash, c.auth.ID
	}
	updated, err := s.DB.UpdateAccount(c.Context(), c.account.ID, change)
	return showAccount(updated), err
}

// checkOwnPassword is an error for the user unless password is that of the
// account. One that has none gets it from who runs the platform: its token alone
// is not enough. where says how to send the password.
func (s *Server) checkOwnPassword(c *call, password, where string) error {
	if _, ok := s.logins.allow("email " + c.account.ID); !ok {
		return tooMany("Too many attempts. Wait a minute and try again.")
	}
	switch {
	case c.account.PasswordHash == "":
		return forbidden("This needs the account's password, and it has none. Whoever runs the platform can give it one: " +
			"hoist seed exec api hoist admin account " + c.account.Email + " --password-stdin")
	case password == "":
		return forbidden("This needs the current password, " + where + ".")
	case !s.passwordMatches(c.account.PasswordHash, password):
		return forbidden("The current password is not right.")
	}
	return nil
}

// accountDelete deletes the account, given its password.
func (s *Server) accountDelete(c *call) (any, error) {
	password := c.Header.Get("Heroku-Password")
	if text, err := base64.StdEncoding.DecodeString(c.Header.Get("Heroku-Password-Base64")); err == nil && password == "" {
		password = string(text)
	}
	if err := s.checkOwnPassword(c, password, "in the header Heroku-Password, or in base64 in Heroku-Password-Base64"); err != nil {
		return nil, err
	}
	return showAccount(c.account), s.DB.DeleteAccount(c.Context(), c.account.ID)
}

// emailMost is how long an e-mail address may be (RFC 5321, 4.5.3.1.3, without
// the brackets).
const emailMost = 254

// CheckEmail is an error for the user unless email is an address that somebody
// can have. Those below "invalid" (RFC 2606) nobody can, so that the platform
// gives them to accounts that are nobody's.
func CheckEmail(email string) error {
	domain := email[strings.LastIndex(email, "@")+1:]
	if strings.HasSuffix("."+strings.ToLower(domain), ".invalid") {
		return hoist.Invalid("Email %.100q: nobody has addresses below .invalid.", email)
	}
	if parsed, err := mail.ParseAddress(email); err != nil || parsed.Address != email || len(email) > emailMost {
		return hoist.Invalid("Email %.100q is not an e-mail address.", email)
	}
	return nil
}
