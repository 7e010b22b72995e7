package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

// table says where each host's requests go. It never changes; a change is a
// new table.
type table struct {
	domain   string
	loaded   bool // whether this is anybody's knowledge or the empty beginning
	gen      uint64
	hosts    map[string]*destination
	apps     map[hoist.ID]*destination
	services map[string]*destination // by type
	room     *room                   // of all apps
	changed  chan struct{}           // closed when there is a newer table
}

// destination is where a host's requests go: an app or a part of the platform.
type destination struct {
	service  string      // type, if it is part of the platform
	route    hoist.Route // if it is an app
	backends []*backend  // that are up
	starting bool
	crashed  bool
	room     *room
}

func newTable(domain string) *table {
	t := &table{domain: strings.ToLower(domain), apps: map[hoist.ID]*destination{},
		services: map[string]*destination{}, room: &room{holds: roomForAll}, changed: make(chan struct{})}
	t.index()
	return t
}

// next returns a copy to be changed and published.
func (t *table) next() *table {
	n := *t
	n.gen++
	n.loaded = true
	n.apps, n.services = maps.Clone(t.apps), maps.Clone(t.services)
	n.changed = make(chan struct{})
	return &n
}

// setApp puts an app's route in, and reports whether anything changed.
func (t *table) setApp(r hoist.Route) bool {
	old := t.apps[r.AppID]
	if old != nil && sameRoute(old.route, r) {
		return false
	}
	d := &destination{route: r, room: old.waitingRoom(t.room)}
	for _, dyno := range r.Dynos {
		switch dyno.State {
		case hoist.DynoUp:
			if dyno.Address != "" {
				d.backends = append(d.backends, old.backend(fmt.Sprintf("web.%d", dyno.Number), dyno.ID, dyno.Address))
			}
		case hoist.DynoStarting:
			d.starting = true
		case hoist.DynoCrashed:
			d.crashed = true
		}
	}
	t.apps[r.AppID] = d
	return true
}

// setServices puts in all processes of the platform.
func (t *table) setServices(services []hoist.Service) (changed bool) {
	byType := map[string]*destination{}
	for _, s := range services {
		d := byType[s.Type]
		if d == nil {
			d = t.service(s.Type)
			byType[s.Type] = d
		}
		d.backends = append(d.backends, t.services[s.Type].backend(s.Type, "", s.Address))
	}
	for _, s := range platformHosts(t.domain) {
		if byType[s] == nil {
			byType[s] = t.service(s)
		}
		old := t.services[s]
		changed = changed || old == nil || !slices.Equal(old.backends, byType[s].backends)
	}
	t.services = byType
	return changed
}

// service makes the destination of a part of the platform, without backends.
func (t *table) service(typ string) *destination {
	return &destination{service: typ, room: t.services[typ].waitingRoom(nil)}
}

// serviceList returns what setServices got.
func (t *table) serviceList() (list []hoist.Service) {
	for _, s := range slices.Sorted(maps.Keys(t.services)) {
		for _, b := range t.services[s].backends {
			list = append(list, hoist.Service{Type: s, Address: b.addr})
		}
	}
	return list
}

// backend returns d's backend of that identity, with its connections, or a new one.
func (d *destination) backend(name, id, addr string) *backend {
	if d != nil {
		for _, b := range d.backends {
			if b.id == id && b.addr == addr {
				return b
			}
		}
	}
	return &backend{name: name, id: id, addr: addr}
}

// waitingRoom returns d's, with who is in it, or a new one.
func (d *destination) waitingRoom(within *room) *room {
	if d != nil {
		return d.room
	}
	return &room{holds: roomForOne, within: within}
}

// waiting counts the requests that wait for a backend.
func (t *table) waiting() int64 {
	n := t.room.waiting.Load()
	for _, d := range t.services {
		n += d.room.waiting.Load()
	}
	return n
}

// index makes the map of hosts: the platform's first, then NAME.DOMAIN, then
// the apps' own domains, none of which can take another's.
func (t *table) index() {
	t.hosts = make(map[string]*destination, 2*len(t.apps)+8)
	for host, service := range platformHosts(t.domain) {
		if t.services[service] == nil {
			t.services[service] = t.service(service)
		}
		t.hosts[host] = t.services[service]
	}
	add := func(host string, d *destination) {
		if _, taken := t.hosts[host]; !taken {
			t.hosts[host] = d
		}
	}
	for _, d := range t.apps {
		add(d.route.Name+"."+t.domain, d)
	}
	for _, d := range t.apps {
		for _, host := range d.route.Domains {
			add(hostName(host), d)
		}
	}
}

// lookup finds where requests for a path at a Host header's host go; nil if
// nowhere. A domain "*.example.com" serves each host just below example.com
// that has no other.
func (t *table) lookup(host, path string) *destination {
	host = hostName(host)
	if d := t.hosts[host]; d != nil {
		if d.service == hoist.ComponentAPI {
			return t.below(d, path)
		}
		return d
	}
	if i := strings.IndexByte(host, '.'); i > 0 {
		return t.hosts["*"+host[i:]]
	}
	return nil
}

// below finds the part of the platform that serves a path of the API's host;
// see hoist.Public.API.
func (t *table) below(api *destination, path string) *destination {
	switch {
	case strings.HasPrefix(path, "/streams/"):
		return t.services[hoist.ComponentLogs]
	case strings.HasPrefix(path, "/blobs/"):
		return t.services[serviceBlobs]
	}
	return api
}

// routes is what the table was made of, for the snapshot.
func (t *table) routes() hoist.Routes {
	r := hoist.Routes{Services: t.serviceList()}
	for _, id := range slices.Sorted(maps.Keys(t.apps)) {
		r.Apps = append(r.Apps, t.apps[id].route)
	}
	return r
}

// backends returns all of them.
func (t *table) backends() map[*backend]bool {
	all := map[*backend]bool{}
	for _, group := range []map[string]*destination{t.apps, t.services} {
		for _, d := range group {
			for _, b := range d.backends {
				all[b] = true
			}
		}
	}
	return all
}

func sameRoute(a, b hoist.Route) bool {
	return a.Name == b.Name && a.Maintenance == b.Maintenance && a.Web == b.Web &&
		slices.Equal(a.Domains, b.Domains) && slices.Equal(a.Dynos, b.Dynos)
}
