package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// client speaks the Platform API
// (https://devcenter.heroku.com/articles/platform-api-reference). It keeps what
// it is answered as it is, so that --json shows all the API says; a client with
// types for everything, such as heroku-go, would lose that.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
	tls   *tls.Config
}

// newClient makes a client for the API at base. ca is PEM with further
// certificate authorities, or empty.
func newClient(base *url.URL, token, ca string) (*client, error) {
	cfg := &tls.Config{}
	if ca != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("The platform's CA certificate is not PEM. Log in again with --ca FILE.")
		}
		cfg.RootCAs = pool
	}
	return &client{base: base, token: token, tls: cfg, http: &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialLocalhost,
			TLSClientConfig:       cfg,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: time.Minute,
		},
	}}, nil
}

// dialLocalhost dials, with names below "localhost" meaning this machine as
// RFC 6761 says; not every resolver knows that.
func dialLocalhost(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, network, localhost(addr))
}

func localhost(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && strings.HasSuffix(strings.TrimSuffix(host, "."), ".localhost") {
		return net.JoinHostPort("localhost", port)
	}
	return addr
}

// get, post and so on send body (nil for none) as JSON and decode the answer
// into out (nil for none). Errors are *hoist.Error in the API's words.
func (c *client) get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, path, nil, out)
}

func (c *client) post(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, http.MethodPost, path, body, out)
}

func (c *client) patch(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, http.MethodPatch, path, body, out)
}

func (c *client) put(ctx context.Context, path string, body, out any) error {
	return c.call(ctx, http.MethodPut, path, body, out)
}

func (c *client) delete(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodDelete, path, nil, out)
}

func (c *client) call(ctx context.Context, method, path string, body, out any) error {
	res, err := c.send(ctx, method, path, body, "")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return c.decode(res, out)
}

// list gets all pages of a list. order is a Range without its limit, such as
// "version ..; order=desc", or empty; limit is how many to get, 0 for all.
func list[T any](ctx context.Context, c *client, path, order string, limit int) ([]item[T], error) {
	next := order
	if limit > 0 {
		next = fmt.Sprintf("%s,max=%d", order, min(limit, 1000))
	}
	all := []item[T]{} // "[]" and not "null" as JSON
	for {
		res, err := c.send(ctx, http.MethodGet, path, nil, next)
		if err != nil {
			return nil, err
		}
		var page []item[T]
		err = c.decode(res, &page)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		next = res.Header.Get("Next-Range")
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if res.StatusCode != http.StatusPartialContent || next == "" || len(page) == 0 {
			return all, nil
		}
	}
}

// item is a part of an answer, both decoded and as it came.
type item[T any] struct {
	V   T
	raw json.RawMessage
}

func (i *item[T]) UnmarshalJSON(b []byte) error {
	i.raw = bytes.Clone(b)
	return json.Unmarshal(b, &i.V)
}

func (i item[T]) MarshalJSON() ([]byte, error) { return i.raw, nil }

func (c *client) send(ctx context.Context, method, path string, body any, rng string) (*http.Response, error) {
	u, err := c.base.Parse(path)
	if err != nil {
		return nil, err
	}
	// A name such as ".." or "" would make it the path of something else.
	if plain, _, _ := strings.Cut(path, "?"); u.EscapedPath() != plain || strings.Contains(plain, "//") || strings.HasSuffix(plain, "/") {
		return nil, usagef("%s: one of these is not a name.", plain)
	}
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), payload)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.heroku+json; version=3")
	req.Header.Set("User-Agent", "hoist ("+runtime.GOOS+"; "+runtime.GOARCH+")")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.do(req)
}

// do sends a request; an answer that is no 2xx is an error.
func (c *client) do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	e := &hoist.Error{Status: res.StatusCode}
	var about struct {
		Resource string `json:"resource"`
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	json.Unmarshal(text, &about)
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		e.ID = "http_" + http.StatusText(res.StatusCode)
		said := ""
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			said = ": " + strings.TrimRight(clip(firstLine(string(text)), 200), ".")
		}
		e.Message = fmt.Sprintf("%s answered %s%s. Is this the address of a hoist platform?", req.URL.Host, res.Status, said)
	}
	if res.StatusCode == http.StatusUnauthorized {
		e.ID = hoist.ErrUnauthorized.ID
		if c.token == "" {
			e.Message = "You are not logged in. Run `hoist login`."
		} else if !strings.Contains(e.Message, "login") {
			e.Message += "\nRun `hoist login`."
		}
	}
	if res.StatusCode == http.StatusNotFound {
		e.ID = hoist.ErrNotFound.ID
		if about.Resource == "app" {
			return nil, noSuchApp{e}
		}
	}
	return nil, e
}

// noSuchApp is the error that there is no app in the path, or none that one may
// see; what else is not found is something of an app.
type noSuchApp struct{ error }

func (e noSuchApp) Unwrap() error { return e.error }

func (c *client) decode(res *http.Response, out any) error {
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("%s did not answer in JSON (%w). Is this the address of a hoist platform?", c.base.Host, err)
	}
	return nil
}

// unreachable says why a platform does not answer and what to do.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if untrusted := c.untrusted(err); untrusted != nil {
		return untrusted
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("Can't reach the platform at %s: %w\nIs it running? Another one is chosen by $HOIST_HOST or `hoist login HOST`.", c.base, err)
}

// untrusted says what to do if err is about a certificate; else it is nil.
func (c *client) untrusted(err error) error {
	var untrusted *tls.CertificateVerificationError
	if !errors.As(err, &untrusted) {
		return nil
	}
	return fmt.Errorf("The certificate of %s is not trusted: %w\nIf it is your own platform, log in again with its CA certificate: hoist login %s --ca FILE", c.base.Host, untrusted.Err, c.base)
}
