package api

import (
	"context"
	"regexp"
	"strings"

	"github.com/hoist-sh/hoist"
)

type domainDB interface {
	AppDomains(ctx context.Context, appID hoist.ID) ([]hoist.Domain, error)
	AddDomain(ctx context.Context, d hoist.Domain) (hoist.Domain, error)
	RemoveDomain(ctx context.Context, appID, id hoist.ID) error
}

// domainsMost is how many domains an app may have.
const domainsMost = 1000

type domainJSON struct {
	ACMStatus       *string   `json:"acm_status"`
	ACMStatusReason *string   `json:"acm_status_reason"`
	App             named     `json:"app"`
	CName           *string   `json:"cname"`
	CreatedAt       timestamp `json:"created_at"`
	Hostname        string    `json:"hostname"`
	ID              hoist.ID  `json:"id"`
	Kind            string    `json:"kind"`
	SNIEndpoint     *named    `json:"sni_endpoint"`
	Status          string    `json:"status"`
	UpdatedAt       timestamp `json:"updated_at"`
}

func (s *Server) showDomain(a hoist.App, d hoist.Domain) any {
	v := domainJSON{
		App: appRef(a), CreatedAt: timestamp(d.CreatedAt), Hostname: d.Hostname, ID: d.ID, Kind: "heroku",
		Status: "succeeded", UpdatedAt: timestamp(d.UpdatedAt),
	}
	if own := s.ownHostname(a); d.Hostname != own {
		v.Kind, v.CName = "custom", &own
	}
	return v
}

// ownHostname is the host name every app has, below the platform's domain.
func (s *Server) ownHostname(a hoist.App) string { return a.Name + "." + s.Public.Domain }

func (s *Server) domainRoutes(onApp func(string, string, appHandler)) {
	onApp("GET", "/domains", s.domainList)
	onApp("POST", "/domains", s.domainCreate)
	onApp("GET", "/domains/{domain}", func(c *call, a hoist.App) (any, error) {
		d, err := s.domain(c, a)
		return s.showDomain(a, d), err
	})
	onApp("PATCH", "/domains/{domain}", func(c *call, a hoist.App) (any, error) {
		d, err := s.domain(c, a) // there is nothing to change yet: no SNI endpoints
		return s.showDomain(a, d), err
	})
	onApp("DELETE", "/domains/{domain}", s.domainDelete)
}

func (s *Server) domains(ctx context.Context, a hoist.App) ([]hoist.Domain, error) {
	list, err := s.DB.AppDomains(ctx, a.ID)
	own := hoist.Domain{
		ID: constantID("domain", a.ID), AppID: a.ID, Hostname: s.ownHostname(a), CreatedAt: a.CreatedAt, UpdatedAt: a.CreatedAt,
	}
	return append([]hoist.Domain{own}, list...), err
}

func (s *Server) domainList(c *call, a hoist.App) (any, error) {
	list, err := s.domains(c.Context(), a)
	if err != nil {
		return nil, err
	}
	return page(c, list, func(d hoist.Domain) any { return s.showDomain(a, d) },
		sortKey[hoist.Domain]{"hostname", func(d hoist.Domain) string { return d.Hostname }},
		sortKey[hoist.Domain]{"id", func(d hoist.Domain) string { return d.ID }})
}

func (s *Server) domain(c *call, a hoist.App) (hoist.Domain, error) {
	list, err := s.domains(c.Context(), a)
	if err != nil {
		return hoist.Domain{}, err
	}
	name := c.PathValue("domain")
	for _, d := range list {
		if d.ID == name || d.Hostname == strings.ToLower(name) {
			return d, nil
		}
	}
	return hoist.Domain{}, &resourceError{hoist.NotFound("domain"), "domain"}
}

var hostname = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (s *Server) domainCreate(c *call, a hoist.App) (any, error) {
	var in struct {
		Hostname string `json:"hostname"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(in.Hostname, "."))
	if !hostname.MatchString(name) || len(name) > 253 {
		return nil, hoist.Invalid("hostname: %.100q is not a host name.", in.Hostname)
	}
	if bare := strings.TrimPrefix(name, "*."); bare == s.Public.Domain || strings.HasSuffix(bare, "."+s.Public.Domain) {
		return nil, hoist.Invalid("hostname: names below %s are the platform's. Rename the app to change its own.", s.Public.Domain)
	}
	had, err := s.DB.AppDomains(c.Context(), a.ID)
	if err != nil {
		return nil, err
	}
	if len(had) >= domainsMost {
		return nil, hoist.Invalid("The app has %d domains, which is the limit.", len(had))
	}
	d, err := s.DB.AddDomain(c.Context(), hoist.Domain{ID: hoist.NewID(), AppID: a.ID, Hostname: name})
	if err != nil {
		return nil, err
	}
	s.Bus.Ring(hoist.BellRoute+a.ID, nil)
	s.event(a.ID, "Add domain %s by user %s", d.Hostname, c.account.Email)
	return created(s.showDomain(a, d)), nil
}

func (s *Server) domainDelete(c *call, a hoist.App) (any, error) {
	d, err := s.domain(c, a)
	if err != nil {
		return nil, err
	}
	if d.Hostname == s.ownHostname(a) {
		return nil, hoist.Invalid("%s is the app's own name and cannot be removed.", d.Hostname)
	}
	if err := s.DB.RemoveDomain(c.Context(), a.ID, d.ID); err != nil {
		return nil, err
	}
	s.Bus.Ring(hoist.BellRoute+a.ID, nil)
	s.event(a.ID, "Remove domain %s by user %s", d.Hostname, c.account.Email)
	return s.showDomain(a, d), nil
}
