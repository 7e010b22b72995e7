package proof

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// ServiceType is the type under which whoever does proofs registers Handler's
// server: the host proof.DOMAIN leads to it.
const ServiceType = "proof"

// echo is the server behind proof.DOMAIN: what a router has to reach.
type echo struct{}

func (echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Forwarded-For") == "" || r.Header.Get("X-Request-Id") == "" {
		http.Error(w, "this did not come by a router", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // Go's server does not read on once it writes
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Write(body)
}

// Handler answers the requests that routers are proven with.
func (p *Prover) Handler() http.Handler { return p.echo }

// client asks one address, whatever the URL's host is.
func client(address string) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // on the loopback; the certificate may be for anything
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask does a request and returns the body of a 200.
func ask(ctx context.Context, c *http.Client, method, url string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s to %s %s: %.200s", resp.Status, method, req.URL.Path, bytes.TrimSpace(text))
	}
	return text, err
}

// api writes and reads on the schema as it is.
func (p *Prover) api(ctx context.Context, w *world, d Process) error {
	return p.askAPI(ctx, w, client(d.Address), "http://"+d.Address)
}

func (p *Prover) askAPI(ctx context.Context, w *world, c *http.Client, base string) error {
	call := func(method, path string, in any, out any) error {
		body, _ := json.Marshal(in)
		header := http.Header{"Authorization": {"Bearer " + w.token}, "Content-Type": {"application/json"},
			"Accept": {"application/vnd.heroku+json; version=3"}}
		if in == nil {
			body = nil
		}
		text, err := ask(ctx, c, method, base+path, header, body)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, out)
	}
	var account struct{ Email string }
	if err := call("GET", "/account", nil, &account); err != nil {
		return err
	}
	if account.Email != email {
		return fmt.Errorf("it takes the token for that of %q", account.Email)
	}
	nonce, config := hoist.NewSecret(), map[string]string{}
	if err := call("PATCH", "/apps/"+appName+"/config-vars", map[string]string{"PROOF": nonce}, &config); err != nil {
		return err
	}
	clear(config)
	if err := call("GET", "/apps/"+appName+"/config-vars", nil, &config); err != nil {
		return err
	}
	if config["PROOF"] != nonce {
		return errors.New("it does not keep a config var")
	}
	for _, list := range []string{"/releases", "/builds", "/dynos", "/formation"} {
		var any []map[string]any
		if err := call("GET", "/apps/"+appName+list, nil, &any); err != nil {
			return err
		}
	}
	return nil
}

// router passes requests on, by each of its doors.
func (p *Prover) router(ctx context.Context, _ *world, d Process) error {
	for _, scheme := range []string{"http", "https"} {
		if d.Doors[scheme] == "" {
			continue // the platform has none
		}
		if err := p.askRouter(ctx, scheme, d.Doors[scheme]); err != nil {
			return fmt.Errorf("%s: %w", scheme, err)
		}
	}
	return nil
}

func (p *Prover) askRouter(ctx context.Context, scheme, address string) error {
	c := client(address)
	url := scheme + "://" + ServiceType + "." + p.cfg.Public.Domain + "/"
	body := make([]byte, 256<<10)
	rand.Read(body)
	for range 10 {
		text, err := ask(ctx, c, "POST", url, nil, body)
		if err != nil {
			return err
		}
		if !bytes.Equal(text, body) {
			return fmt.Errorf("of a body of %d bytes it passed on %d, or others", len(body), len(text))
		}
	}
	return nil
}

// logs carries lines from the bus to a reader, all and in order.
func (p *Prover) logs(ctx context.Context, w *world, d Process) error {
	token := hoist.NewSecret()
	hash := sha256.Sum256([]byte(token))
	if _, err := p.cfg.DB.CreateLogSession(ctx, hoist.LogSession{ID: hoist.NewID(), AppID: w.app.ID, Lines: 1, Tail: true},
		hash[:]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.Address+"/streams/"+token, nil)
	if err != nil {
		return err
	}
	resp, err := client(d.Address).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s to a reader", resp.Status)
	}
	nonce := hoist.NewSecret()
	var want, got []string
	for i := range 100 {
		text := fmt.Sprintf("proof %s %d", nonce, i)
		want = append(want, text)
		data, _ := json.Marshal(hoist.LogLine{Time: time.Now(), Source: "app", Dyno: "proof.1", Text: text})
		if !p.cfg.Bus.Append(hoist.StreamLogs+w.app.ID, data) {
			return errors.New("the bus is away")
		}
	}
	for lines := bufio.NewScanner(resp.Body); len(got) < len(want); {
		if !lines.Scan() {
			return fmt.Errorf("of %d lines it gave %d: %w", len(want), len(got), cmp.Or(lines.Err(), io.EOF))
		}
		if _, text, ok := strings.Cut(lines.Text(), "proof "+nonce); ok {
			got = append(got, "proof "+nonce+text)
		}
	}
	if !slices.Equal(got, want) {
		return errors.New("it changed the lines or their order")
	}
	return nil
}
