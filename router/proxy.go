package router

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/router/http1"
)

// proxy serves requests by the table of routes.
type proxy struct {
	settings Settings
	table    *atomic.Pointer[table]
	bus      hoist.Bus // takes the requests' log lines
}

// visit is one request on its way.
type visit struct {
	p       *proxy
	w       http.ResponseWriter
	r       *http.Request
	gone    func() bool
	started time.Time
	fwd     forwarded
	upgrade string
	writes  *patience

	dest    *destination
	backend *backend
	connect time.Duration
	status  int
	bytes   int64
	fail    *failure
}

// scheme is the context key of a listener's forwarded.proto and .port.
type scheme struct{ proto, port string }

type schemeKey struct{}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &visit{p: p, w: w, r: r, started: time.Now()}
	if r.ProtoMajor == 2 {
		if err := http1.Translate(r, http1.DefaultLimits); err != nil {
			p.refuse(w, r, err)
			return
		}
		v.writes = newPatience(w, p.settings.Idle)
		defer v.writes.last()
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	s, _ := r.Context().Value(schemeKey{}).(scheme)
	v.fwd = forwarded{client: forwardedFor(r.Header, ip), proto: s.proto, port: s.port, start: v.started.UnixMilli()}
	if id := r.Header["X-Request-Id"]; len(id) == 1 && validRequestID(id[0]) {
		v.fwd.requestID = id[0]
	} else {
		v.fwd.requestID = uuid.NewString()
	}
	if c, ok := w.(interface{ Gone() bool }); ok {
		v.gone = c.Gone // HTTP/1
	} else {
		ctx := r.Context()
		v.gone = func() bool { return ctx.Err() != nil }
	}
	defer v.note()
	v.upgrade = stripHopByHop(r.Header)
	if r.ContentLength != 0 || r.ProtoMinor == 0 {
		v.upgrade = "" // a body would have to be through first; HTTP/1.0 has no upgrades (RFC 9110, section 7.8)
	}
	l, fail := v.reach()
	if fail == nil {
		v.beAsPatient()
		fail = v.exchange(l)
	}
	if fail != nil {
		v.fail, v.status = fail, fail.status
		if fail.title == "" {
			panic(http.ErrAbortHandler) // part of an answer was sent, or nobody is there
		}
		v.bytes = fail.answer(w, r, v.fwd.requestID)
	}
}

// note logs the request.
func (v *visit) note() {
	if v.backend != nil {
		v.backend.inflight.Add(-1)
	}
	if v.dest == nil || v.dest.service != "" {
		return // no app to tell; the platform's own paths may hold secrets
	}
	l := line{app: v.dest.route.AppID, at: time.Now(), method: v.r.Method, path: v.r.RequestURI, host: v.r.Host,
		requestID: v.fwd.requestID, fwd: v.fwd.client, proto: v.fwd.proto, status: v.status, bytes: v.bytes, fail: v.fail}
	if v.backend != nil {
		l.dyno, l.connect, l.service = v.backend.name, v.connect, l.at.Sub(v.started)-v.connect
	}
	v.p.bus.Append(hoist.StreamLogs+l.app, l.json())
}

// reach finds where the request goes and connects, waiting where waiting
// helps: for a starting dyno, for a part of the platform that comes back, for
// a connection that is refused just now. Nothing has been sent when it returns.
func (v *visit) reach() (*link, *failure) {
	var trying time.Time // to connect, since when
	var in *room
	defer func() { in.leave() }()
	for {
		t := v.p.table.Load()
		v.dest = t.lookup(v.r.Host, v.r.URL.Path)
		if v.dest == nil || len(v.dest.backends) == 0 {
			trying = time.Time{} // who comes next has its own time
		}
		var limit time.Time // how long it makes sense to wait
		var fail *failure   // what to say then
		switch d := v.dest; {
		case d == nil && !t.loaded:
			limit, fail = v.started.Add(v.p.settings.Platform), failPlatform
		case d == nil:
			return nil, failUnknownHost
		case d.route.Maintenance:
			return nil, failMaintenance
		case len(d.backends) > 0:
			if trying.IsZero() {
				trying = time.Now()
			}
			l, err := v.dial(d)
			if err == nil {
				return l, nil
			}
			limit, fail = trying.Add(v.p.settings.Connect), failRefused
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				fail = failConnect
			}
			if d.service != "" {
				limit, fail = v.started.Add(v.p.settings.Platform), failPlatform
			}
		case d.service != "":
			limit, fail = v.started.Add(v.p.settings.Platform), failPlatform
		case d.starting || d.route.Web > 0 && !d.crashed:
			limit, fail = v.started.Add(v.p.settings.Boot), failBoot
		case d.crashed:
			return nil, failCrashed
		default:
			return nil, failNoWeb
		}
		place := t.room // if nobody knows whose the request is
		if v.dest != nil {
			place = v.dest.room
		}
		if place != in {
			in.leave()
			if in = nil; !place.enter() {
				return nil, failBacklog
			}
			in = place
		}
		left := time.Until(limit)
		if left <= 0 {
			return nil, fail
		}
		pause := glance
		if !trying.IsZero() {
			pause = 50 * time.Millisecond // to try again
		}
		if !wait(v.r.Context(), t.changed, min(pause, left)) || v.gone() {
			return nil, failClientCut
		}
	}
}

// wait returns when there are new routes or d is over; false if ctx has ended.
func wait(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-timer.C:
	}
	return true
}

// mostDialled is to how many dynos a request is offered; each has the time to connect for itself.
const mostDialled = 10

// dial connects to one of the backends, trying each once.
func (v *visit) dial(d *destination) (*link, error) {
	now := time.Now()
	var tried map[*backend]bool
	var last error
	for range min(len(d.backends), mostDialled) {
		b := choose(d.backends, tried, now)
		b.inflight.Add(1)
		start := time.Now()
		l, err := b.get(v.p.settings.Connect)
		if err == nil {
			v.backend, v.connect = b, time.Since(start)
			l.begin(now, v.firstByte(), v.gone)
			return l, nil
		}
		b.inflight.Add(-1)
		last = err
		if tried == nil {
			tried = map[*backend]bool{}
		}
		tried[b] = true
		if v.gone() {
			break
		}
	}
	return nil, last
}

// firstByte and idle are how long the backend may be silent before it answers,
// and either side after it began to.
func (v *visit) firstByte() time.Duration {
	if v.dest.service != "" {
		return v.p.settings.Service
	}
	return v.p.settings.FirstByte
}

func (v *visit) idle() time.Duration {
	if v.dest.service != "" {
		return v.p.settings.Service
	}
	return v.p.settings.Idle
}

// beAsPatient gives the client the time that the backend has.
func (v *visit) beAsPatient() {
	if c, ok := v.w.(interface{ SetBodyTimeout(time.Duration) }); ok {
		c.SetBodyTimeout(v.idle()) // HTTP/1
	} else if v.writes != nil {
		v.writes.idle = v.idle()
	}
}

// choose picks a backend at random: the less busy of two, those that have just
// refused a connection last.
func choose(backends []*backend, tried map[*backend]bool, now time.Time) *backend {
	if len(backends) == 1 {
		return backends[0]
	}
	better := func(a, b *backend) *backend {
		switch {
		case b == nil || tried[b]:
			return a
		case a == nil || tried[a]:
			return b
		case a.quarantined(now) != b.quarantined(now):
			if a.quarantined(now) {
				return b
			}
			return a
		case b.inflight.Load() < a.inflight.Load():
			return b
		}
		return a
	}
	i := rand.IntN(len(backends))
	j := rand.IntN(len(backends) - 1)
	if j >= i {
		j++
	}
	best := better(backends[i], backends[j])
	if tried[best] || best.quarantined(now) {
		for _, b := range backends { // rare: look at all
			best = better(best, b)
		}
	}
	return best
}

// refuse answers what was no request.
func (p *proxy) refuse(w http.ResponseWriter, r *http.Request, e *http1.Error) {
	badRequest(e.Status, e.Reason).answer(w, r, uuid.NewString())
}
