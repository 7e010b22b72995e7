package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

// credentials reads an Authorization header: `Bearer TOKEN`, or Basic with a
// user (an e-mail address or nothing) and a token or password.
func credentials(header string) (user, secret string) {
	scheme, value, _ := strings.Cut(strings.TrimSpace(header), " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "bearer":
		return "", value
	case "basic":
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", ""
		}
		user, secret, _ := strings.Cut(string(text), ":")
		return user, secret
	}
	return "", ""
}

// HashToken is the form in which a token is kept.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// NewToken returns a new API token.
func NewToken() string { return "HRKU-" + hoist.NewSecret() }

// authenticate finds whose token a request bears. A password is good for one
// thing only: to get a token.
func (s *Server) authenticate(r *http.Request) (*call, error) {
	user, secret := credentials(r.Header.Get("Authorization"))
	if secret == "" {
		return nil, &hoist.Error{ID: hoist.ErrUnauthorized.ID, Status: http.StatusUnauthorized,
			Message: "There were no credentials in your `Authorization` header. Try `Authorization: Bearer TOKEN` or `Authorization: Basic` with an e-mail address and a token."}
	}
	account, auth, err := s.DB.Authenticate(r.Context(), HashToken(secret))
	if err == nil {
		if !permitted(auth.Scope, r.Method, r.URL.Path) {
			return nil, forbidden("The scope of this token (" + strings.Join(auth.Scope, ", ") + ") does not include this.")
		}
		return &call{Request: r, account: account, auth: auth, token: secret}, nil
	}
	if user != "" && r.Method == http.MethodPost && r.URL.Path == "/oauth/authorizations" && err == error(hoist.ErrUnauthorized) {
		account, err = s.login(r, user, secret)
		if err == nil {
			return &call{Request: r, account: account}, nil
		}
	}
	return nil, err
}

// login checks an e-mail address and a password, at a bounded rate for each
// address and each client, and with bounded memory for all.
func (s *Server) login(r *http.Request, email, password string) (hoist.Account, error) {
	if len(email) > emailMost {
		return hoist.Account{}, hoist.ErrUnauthorized
	}
	// The client first: one that has used up its own attempts does not use up
	// those of the address's owner.
	for _, key := range []string{"client " + clientAddress(r), "email " + strings.ToLower(email)} {
		if _, ok := s.logins.allow(key); !ok {
			return hoist.Account{}, tooMany("Too many attempts to log in. Wait a minute and try again.")
		}
	}
	account, err := s.DB.Account(r.Context(), email)
	hash := account.PasswordHash
	if e, ok := hoist.AsError(err); ok && e.Is(hoist.ErrNotFound) {
		hash, err = nobodysHash, nil
	}
	if err != nil {
		return account, err
	}
	if !s.passwordMatches(hash, password) || account.ID == "" {
		return account, hoist.ErrUnauthorized
	}
	return account, nil
}

// passwordMatches checks a password when it is its turn: each check takes 19
// MiB.
func (s *Server) passwordMatches(hash, password string) bool {
	s.passages <- struct{}{}
	defer func() { <-s.passages }()
	return checkPassword(hash, password)
}

// clientAddress is where a request came from: what the router wrote last into
// X-Forwarded-For, or the peer.
func clientAddress(r *http.Request) string {
	if forwarded := r.Header.Values("X-Forwarded-For"); len(forwarded) > 0 {
		list := strings.Split(forwarded[len(forwarded)-1], ",")
		return strings.TrimSpace(list[len(list)-1])
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// Scopes of tokens (https://devcenter.heroku.com/articles/oauth#scopes).
var scopes = []string{"global", "identity", "read", "write", "read-protected", "write-protected"}

// permitted reports whether a token's scope covers a request: identity is only
// the account's own page, read only reads, and without "protected" no request
// reads or writes config vars. As with Heroku that is no secret kept from a
// token that may write: what it runs in the app, or has built, sees them.
func permitted(granted []string, method, path string) bool {
	has := func(list ...string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(granted, s) })
	}
	if has("global") {
		return true
	}
	if user, ok := strings.CutPrefix(path, "/users/"); ok && !strings.Contains(user, "/") {
		path = "/account" // by another name
	}
	if path == "/account" || strings.HasPrefix(path, "/account/") || strings.HasPrefix(path, "/oauth/") {
		return path == "/account" && method == http.MethodGet
	}
	reads := method == http.MethodGet || method == http.MethodHead
	if strings.HasSuffix(path, "/config-vars") {
		return has("write-protected") || reads && has("read-protected")
	}
	return has("write", "write-protected") || reads && has("read", "read-protected")
}
