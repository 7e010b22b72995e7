package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

type loginCommand struct {
	*CLI
	host, email, token, ca string
}

func (c *CLI) login() *cobra.Command {
	l := &loginCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "login [HOST]", Short: "Log in to a platform", Aliases: []string{"auth:login"},
		Long: `Log in with email and password, or with a token, and remember it. HOST is the
platform's domain, with its port for HTTPS if that is not 443, or the URL of
its API. $HOIST_HOST and $HOIST_API_KEY go before what is remembered.`,
		Example: "$ hoist login paas.example:8443 --ca ca.pem\n$ hoist login paas.example --token - <token",
		Args:    args(cobra.MaximumNArgs(1)), RunE: l.run,
	}
	cmd.Flags().StringVar(&l.host, "host", "", "the same as HOST")
	cmd.Flags().StringVarP(&l.email, "email", "e", "", "email address")
	cmd.Flags().StringVar(&l.token, "token", "", "an API token, instead of email and password; - reads it")
	cmd.Flags().StringVar(&l.ca, "ca", "", "file with the platform's CA certificate (PEM), if it is its own")
	return cmd
}

func (l *loginCommand) run(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		l.host = args[0]
	}
	creds, err := l.readCredentials()
	if err != nil {
		return err
	}
	host := l.host
	for _, known := range []string{l.Env("HOIST_HOST"), creds.Current} {
		if host == "" {
			host = known
		}
	}
	if host == "" {
		return usagef("Which platform? Give its domain or the URL of its API: hoist login HOST")
	}
	base, err := apiURL(host)
	if err != nil {
		return err
	}
	p := creds.Platforms[base.String()]
	if l.ca != "" {
		pem, err := os.ReadFile(l.ca)
		if err != nil {
			return err
		}
		p.CA = string(pem)
	}
	if l.token == "-" { // others can read a program's arguments
		line, err := l.askSecret(cmd.Context(), "Token: ", bufio.NewReader(l.In))
		if l.token = strings.TrimSpace(line); l.token == "" {
			return fmt.Errorf("No token given (%w).", errOr(err, io.EOF))
		}
	}
	api, err := newClient(base, l.token, p.CA)
	if err != nil {
		return err
	}
	if l.token == "" {
		if api.token, err = l.authorize(cmd.Context(), api); err != nil {
			return err
		}
	}
	var me account
	if err := api.get(cmd.Context(), "/account", &me); err != nil {
		if errors.Is(err, hoist.ErrUnauthorized) {
			return errors.New("The platform does not know this token.")
		}
		return err
	}
	p.Token, p.Email = api.token, me.Email
	creds.Platforms[base.String()] = p
	creds.Current = base.String()
	if err := l.writeCredentials(creds); err != nil {
		return err
	}
	l.say("Logged in to %s as %s", base.Host, me.Email)
	return nil
}

// authorize makes a token with email and password.
func (l *loginCommand) authorize(ctx context.Context, api *client) (string, error) {
	in := bufio.NewReader(l.In)
	email := l.email
	if email == "" {
		line, err := l.ask(ctx, "Email: ", in)
		if ctx.Err() != nil {
			return "", err
		}
		if email = strings.TrimSpace(line); email == "" {
			return "", fmt.Errorf("No email address given (%w). Scripts use --token.", errOr(err, io.EOF))
		}
	}
	password, err := l.password(ctx, in)
	if err != nil {
		return "", err
	}
	where, _ := os.Hostname()
	body, err := json.Marshal(map[string]any{"description": "hoist login from " + where, "scope": []string{"global"}})
	if err != nil {
		return "", err
	}
	u := api.base.JoinPath("oauth", "authorizations")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(email, password)
	res, err := api.do(req)
	if errors.Is(err, hoist.ErrUnauthorized) {
		return "", errors.New("Email and password do not fit.")
	}
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var made struct {
		AccessToken struct {
			Token string `json:"token"`
		} `json:"access_token"`
	}
	if err := api.decode(res, &made); err != nil {
		return "", err
	}
	return made.AccessToken.Token, nil
}

func (l *loginCommand) password(ctx context.Context, in *bufio.Reader) (string, error) {
	line, err := l.askSecret(ctx, "Password: ", in)
	if ctx.Err() != nil {
		return "", err
	}
	if line == "" {
		return "", fmt.Errorf("No password given (%w). Scripts use --token.", errOr(err, io.EOF))
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func errOr(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

type logoutCommand struct{ *CLI }

func (c *CLI) logout() *cobra.Command {
	l := &logoutCommand{c}
	return &cobra.Command{
		Use: "logout", Short: "Log out; the token is revoked", Aliases: []string{"auth:logout"},
		Example: "$ hoist logout", Args: args(cobra.NoArgs), RunE: l.run,
	}
}

func (l *logoutCommand) run(cmd *cobra.Command, _ []string) error {
	creds, err := l.readCredentials()
	if err != nil {
		return err
	}
	base, p, err := l.platform()
	if err != nil {
		return err
	}
	if p.Token == "" {
		return errors.New("You are not logged in to " + base.Host + ".")
	}
	if saved := creds.Platforms[base.String()].Token; saved == "" || saved != p.Token {
		return errors.New("You are logged in by $HOIST_API_KEY: unset it.")
	}
	api, err := newClient(base, p.Token, p.CA)
	if err != nil {
		return err
	}
	// What is remembered goes even when the platform does not answer.
	revoked := api.delete(cmd.Context(), "/oauth/authorizations/~", nil)
	p.Token = "" // the CA certificate stays for the next time
	creds.Platforms[base.String()] = p
	if err := l.writeCredentials(creds); err != nil {
		return err
	}
	if revoked != nil && !errors.Is(revoked, hoist.ErrUnauthorized) {
		return fmt.Errorf("Logged out here, but the token could not be revoked: %w", revoked)
	}
	l.say("Logged out of %s", base.Host)
	return nil
}

type whoamiCommand struct {
	*CLI
	json bool
}

func (c *CLI) whoami() *cobra.Command {
	w := &whoamiCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show as whom you are logged in", Aliases: []string{"auth:whoami"},
		Example: "$ hoist whoami", Args: args(cobra.NoArgs), RunE: w.run,
	}
	jsonFlag(cmd, &w.json)
	return cmd
}

func (w *whoamiCommand) run(cmd *cobra.Command, _ []string) error {
	api, err := w.client()
	if err != nil {
		return err
	}
	var me item[account]
	if err := api.get(cmd.Context(), "/account", &me); err != nil {
		return err
	}
	if w.json {
		return w.printJSON(me)
	}
	if w.Env("HOIST_API_KEY") != "" {
		w.say("by $HOIST_API_KEY, at %s", api.base.Host)
	}
	w.print("%s", me.V.Email)
	return nil
}
