package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

// gitCredentials is what git asks for a password when it pushes over HTTP
// (gitcredentials(7)): the login is also git's.
func (c *CLI) gitCredentials() *cobra.Command {
	return &cobra.Command{
		Use: "git:credentials get", Short: "Answer git's question for a password", Hidden: true,
		Example: "$ hoist git:credentials get",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != "get" {
				return nil // we neither store nor forget what git tells us
			}
			creds, err := c.readCredentials()
			if err != nil {
				return err
			}
			if current, p, err := c.platform(); err == nil {
				creds.Platforms[current.String()] = p
			}
			if token := gitToken(creds, c.In); token != "" {
				c.print("username=hoist\npassword=%s", token)
			}
			return nil
		},
	}
}

// gitToken finds the token for the host in git's question; "" if it is not a
// platform's git host, over the same protocol as its API.
func gitToken(creds credentials, question io.Reader) string {
	asked := url.URL{}
	for lines := bufio.NewScanner(question); lines.Scan() && lines.Text() != ""; {
		switch name, value, _ := strings.Cut(lines.Text(), "="); name {
		case "protocol":
			asked.Scheme = value
		case "host":
			asked.Host = value
		}
	}
	for api, p := range creds.Platforms {
		u, err := url.Parse(api)
		if err == nil && asked.Scheme == u.Scheme && asked.Host == gitHost(u) {
			return p.Token
		}
	}
	return ""
}

// gitHost is where a platform's git front door is, with its port, given its API.
func gitHost(api *url.URL) string { return "git." + strings.TrimPrefix(api.Host, "api.") }

// trustGit lets git in this repository use the login and the platform's
// certificate authority for a remote's host.
func (t *target) trustGit(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host != gitHost(t.api.base) || (u.Scheme != "http" && u.Scheme != "https") {
		return nil // SSH, or reached by another name: git's own ways are as good
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	door := u.Scheme + "://" + u.Host
	if _, err := git(ctx, t.Dir, "config", "credential."+door+".helper", "!"+hoist.ShellQuote(self)+" git:credentials"); err != nil {
		return err
	}
	_, p, err := t.platform()
	if err != nil || p.CA == "" {
		return err
	}
	file := filepath.Join(filepath.Dir(t.credentialsFile()), "ca", strings.ReplaceAll(u.Host, ":", "-")+".pem")
	err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(p.CA), 0o600))
	if err != nil {
		return err
	}
	_, err = git(ctx, t.Dir, "config", "http."+door+".sslCAInfo", file)
	return err
}
