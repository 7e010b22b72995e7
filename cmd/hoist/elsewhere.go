package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// lookup bounds the time to look up where the ground is; the runtime starts without it.
const lookup = 3 * time.Second

// elsewhere returns the addresses of a database and a bus that are not on this machine. Dynos, who
// reach the internet, shall not reach those. Names that cannot be looked up are returned as an error,
// beside the others' addresses.
func elsewhere(ctx context.Context, databaseURL, busURL string) (list []netip.AddrPort, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	for _, service := range append(databaseHosts(databaseURL), busHosts(busURL)...) {
		host, port, _ := net.SplitHostPort(service)
		number, portErr := strconv.ParseUint(port, 10, 16)
		if portErr != nil {
			continue
		}
		ips, lookupErr := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
		if lookupErr != nil {
			err = fmt.Errorf("%s: %w", host, lookupErr)
		}
		for _, ip := range ips {
			if ip = ip.Unmap(); !ip.IsLoopback() {
				list = append(list, netip.AddrPortFrom(ip, uint16(number)))
			}
		}
	}
	return list, err
}

func databaseHosts(databaseURL string) (hosts []string) {
	cfg, err := pgconn.ParseConfig(databaseURL)
	if err != nil {
		return nil // who connects says why
	}
	add := func(host string, port uint16) {
		if host != "" && !strings.HasPrefix(host, "/") { // else a socket of this machine
			hosts = append(hosts, net.JoinHostPort(host, fmt.Sprint(port)))
		}
	}
	add(cfg.Host, cfg.Port)
	for _, f := range cfg.Fallbacks {
		add(f.Host, f.Port)
	}
	return hosts
}

func busHosts(busURL string) (hosts []string) {
	for _, s := range strings.Split(busURL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err == nil && u.Hostname() != "" {
			hosts = append(hosts, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4222")))
		}
	}
	return hosts
}
