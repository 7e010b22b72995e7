package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// credentials is the file of the platforms a person logged in to. $HOIST_HOST
// and $HOIST_API_KEY override it.
type credentials struct {
	Current   string              `json:"current"` // a key of Platforms
	Platforms map[string]platform `json:"platforms"`
}

// platform is one login; its key is the API's URL.
type platform struct {
	Email string `json:"email,omitempty"`
	Token string `json:"token"`
	CA    string `json:"ca,omitempty"` // PEM; of the platform's own certificate authority
}

// credentialsFile is below $XDG_CONFIG_HOME
// (https://specifications.freedesktop.org/basedir-spec/latest/).
func (c *CLI) credentialsFile() string {
	dir := c.Env("XDG_CONFIG_HOME")
	if dir == "" {
		dir = filepath.Join(c.Env("HOME"), ".config")
	}
	return filepath.Join(dir, "hoist", "credentials")
}

func (c *CLI) readCredentials() (credentials, error) {
	var creds credentials
	b, err := os.ReadFile(c.credentialsFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return creds, err
	case json.Unmarshal(b, &creds) != nil:
		return creds, fmt.Errorf("%s is damaged. Remove it and run `hoist login`.", c.credentialsFile())
	}
	if creds.Platforms == nil {
		creds.Platforms = map[string]platform{}
	}
	return creds, nil
}

// writeCredentials replaces the file at once; only its owner may read it.
func (c *CLI) writeCredentials(creds credentials) error {
	file := c.credentialsFile()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(creds, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".credentials") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}

// platform returns the API's URL and the login to use.
func (c *CLI) platform() (*url.URL, platform, error) {
	creds, err := c.readCredentials()
	if err != nil {
		return nil, platform{}, err
	}
	host := c.Env("HOIST_HOST")
	if host == "" {
		host = creds.Current
	}
	if host == "" {
		return nil, platform{}, errors.New("You are not logged in to any platform. Run `hoist login HOST`.")
	}
	api, err := apiURL(host)
	if err != nil {
		return nil, platform{}, err
	}
	p := creds.Platforms[api.String()]
	if token := c.Env("HOIST_API_KEY"); token != "" {
		p.Token = token
	}
	return api, p, nil
}

// client returns a client for the platform to use.
func (c *CLI) client() (*client, error) {
	api, p, err := c.platform()
	if err != nil {
		return nil, err
	}
	return newClient(api, p.Token, p.CA)
}

// apiURL makes the API's URL from what people call a platform: "paas.example"
// means https://api.paas.example, a URL is taken as it is.
func apiURL(host string) (*url.URL, error) {
	text := host
	if !strings.Contains(text, "://") {
		name, port := text, ""
		if h, p, err := net.SplitHostPort(text); err == nil {
			name, port = h, ":"+p
		}
		scheme := "https"
		if name == "localhost" || strings.HasSuffix(name, ".localhost") {
			scheme = "http"
		}
		if net.ParseIP(name) == nil && !strings.HasPrefix(name, "api.") {
			name = "api." + name
		}
		text = scheme + "://" + name + port
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("%q is not the address of a platform. It is a domain such as paas.example, or the URL of its API.", host)
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}
