package hoist

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// Public is how the platform is reached from outside.
type Public struct {
	Domain     string // apps are NAME.Domain; the platform api.Domain, git.Domain, …
	HTTP       int    // ports; 0 where there is none
	HTTPS      int
	SSH        int
	Rendezvous int
	Secure     bool // URLs shown to people are https
}

// URL is the address of a host below the domain; an empty name means the
// domain itself.
func (p Public) URL(name string) string {
	host := p.Domain
	if name != "" {
		host = name + "." + p.Domain
	}
	scheme, port, usual := "http", p.HTTP, 80
	if p.Secure {
		scheme, port, usual = "https", p.HTTPS, 443
	}
	if port != usual {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return (&url.URL{Scheme: scheme, Host: host, Path: "/"}).String()
}

// API is the address of the Platform API, with a slash at its end. Below it are
// also the log sessions (streams/) and the blobs (blobs/), because not every
// client can look up names below localhost.
func (p Public) API() string {
	if p.Domain == "localhost" || net.ParseIP(p.Domain) != nil {
		return p.URL("")
	}
	return p.URL("api")
}

// GitSSH is an app's SSH remote.
func (p Public) GitSSH(app string) string {
	return fmt.Sprintf("ssh://git@%s/%s.git", net.JoinHostPort(p.Domain, strconv.Itoa(p.SSH)), app)
}

// GitHTTP is an app's smart HTTP remote.
func (p Public) GitHTTP(app string) string { return p.URL("git") + app + ".git" }

// AttachURL is where an attached dyno's client goes:
// rendezvous://HOST:PORT/SECRET.
func (p Public) AttachURL(secret string) string {
	return fmt.Sprintf("rendezvous://%s/%s", net.JoinHostPort(p.Domain, strconv.Itoa(p.Rendezvous)), secret)
}
