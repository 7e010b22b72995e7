package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// api calls the Platform API as the person who is logged in.
func (c *bootstrapCommand) api(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	return c.request(method, c.base()+path, body, out)
}

// base is the API's address, without a slash at its end.
func (c *bootstrapCommand) base() string { return strings.TrimSuffix(c.public.URL("api"), "/") }

func (c *bootstrapCommand) request(method, url string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(c.ctx, method, url, body)
	if err != nil {
		return err
	}
	if strings.HasPrefix(url, c.base()) {
		token, err := c.token()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "application/vnd.heroku+json; version=3")
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.300s", method, req.URL.Path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// token is that of the login.
func (c *bootstrapCommand) token() (string, error) {
	if key := os.Getenv("HOIST_API_KEY"); key != "" {
		return key, nil
	}
	dir, err := c.configDir()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, "credentials"))
	if err != nil {
		return "", err
	}
	var kept struct {
		Platforms map[string]struct{ Token string } `json:"platforms"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return "", err
	}
	return kept.Platforms[os.Getenv("HOIST_HOST")].Token, nil
}
