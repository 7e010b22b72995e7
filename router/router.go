// Package router is the platform's front: it takes HTTP/1, HTTP/2 and
// WebSocket requests, finds the app by the host name and passes them to one of
// its dynos; and it relays attached dynos' connections.
package router

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/router/http1"
	"golang.org/x/sync/errgroup"
)

// Config is what a router is made of. Any listener may be nil; the router
// closes those it has.
type Config struct {
	Public     hoist.Public
	Store      Store
	Bus        hoist.Bus
	Log        *slog.Logger
	Dir        string // for the snapshot of the routes; empty for none
	Settings   Settings
	HTTP       net.Listener
	HTTPS      net.Listener // needs GetCertificate
	Rendezvous net.Listener // needs GetCertificate
	Status     net.Listener // /healthz
	// Private are listeners of this router alone that do the same as HTTP,
	// HTTPS and Rendezvous.
	Private Doors
	// GetCertificate chooses certificates for HTTPS and Rendezvous. Rendezvous
	// clients send no server name and get the one chosen without.
	GetCertificate GetCertificate
}

// Doors are a router's own listeners; any may be nil.
type Doors struct{ HTTP, HTTPS, Rendezvous net.Listener }

// Router is the component. It implements hoist.Component.
type Router struct {
	cfg    Config
	routes *routes
	proxy  *proxy
	http1  *http1.Server
	http2  *http.Server
	attach *attach
}

// New returns a router; Run runs it.
func New(cfg Config) (*Router, error) {
	if cfg.GetCertificate == nil && (cfg.HTTPS != nil || cfg.Rendezvous != nil || cfg.Private.HTTPS != nil || cfg.Private.Rendezvous != nil) {
		return nil, errors.New("https and rendezvous need a certificate: set HOIST_TLS_CERT and HOIST_TLS_KEY")
	}
	r := &Router{cfg: cfg}
	r.routes = newRoutes(cfg.Public.Domain, cfg.Store, cfg.Bus, cfg.Dir, cfg.Log)
	r.proxy = &proxy{settings: cfg.Settings, table: &r.routes.table, bus: cfg.Bus}
	r.http1 = &http1.Server{Handler: r.proxy, Refuse: r.proxy.refuse, Limits: http1.DefaultLimits, Log: cfg.Log,
		HeadTimeout: cfg.Settings.Head, IdleTimeout: cfg.Settings.KeepAlive, BodyTimeout: cfg.Settings.Idle}
	var only2 http.Protocols
	only2.SetHTTP2(true)
	r.http2 = &http.Server{Handler: r.proxy, Protocols: &only2, IdleTimeout: cfg.Settings.KeepAlive,
		ReadHeaderTimeout: cfg.Settings.Head, WriteTimeout: streamTimeout, MaxHeaderBytes: http1.DefaultLimits.Head,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: 30 * time.Second},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)}
	r.attach = newAttach(cfg.Store, cfg.Bus, &tls.Config{GetCertificate: cfg.GetCertificate, MinVersion: tls.VersionTLS12}, cfg.Log)
	return r, nil
}

// WaitsFor says what the router lacks, for people; empty if nothing.
func (r *Router) WaitsFor() string { return *r.routes.waitsFor.Load() }

// Run serves until ctx ends, then finishes what it is serving, for at most
// Settings.Drain.
func (r *Router) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var services errgroup.Group
	services.Go(func() error { return r.routes.run(background) })
	if err := r.attach.listen(background); err != nil {
		return err
	}
	plain, secure := r.base(background, "http", r.cfg.HTTP, r.cfg.Public.HTTP), r.base(background, "https", r.cfg.HTTPS, r.cfg.Public.HTTPS)
	h2 := newHandover()
	r.http2.BaseContext = func(net.Listener) context.Context { return secure }
	services.Go(func() error { r.http2.Serve(h2); return nil })

	accepting, fail := errgroup.WithContext(ctx)
	var serving, greeting sync.WaitGroup // connections, and of those the ones in TLS's handshake
	listen := func(l net.Listener, serve func(net.Conn)) {
		if l != nil {
			accepting.Go(func() error { return accept(fail, l, serve, r.cfg.Log) })
		}
	}
	cfg := &tls.Config{GetCertificate: r.cfg.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	for _, doors := range []Doors{{r.cfg.HTTP, r.cfg.HTTPS, r.cfg.Rendezvous}, r.cfg.Private} {
		listen(doors.HTTP, func(c net.Conn) {
			serving.Go(func() { r.http1.ServeConn(c, asFrom(plain, c)) })
		})
		listen(doors.HTTPS, func(c net.Conn) {
			greeting.Add(1)
			serving.Go(func() { r.serveTLS(secure, tls.Server(c, cfg), h2, greeting.Done) })
		})
		listen(doors.Rendezvous, func(c net.Conn) {
			serving.Go(func() { r.attach.serve(background, c) })
		})
	}
	listen(r.cfg.Status, func(c net.Conn) { go r.status().ServeConn(c, asFrom(background, c)) })
	err := accepting.Wait()

	drain, cancel := context.WithTimeout(background, r.cfg.Settings.Drain)
	defer cancel()
	var draining sync.WaitGroup
	draining.Go(func() { r.http1.Drain(drain) })
	draining.Go(func() {
		greeting.Wait() // Head bounds it
		if r.http2.Shutdown(drain) != nil {
			r.http2.Close()
		}
	})
	draining.Go(func() {
		gone := make(chan struct{})
		go func() { serving.Wait(); close(gone) }()
		select {
		case <-gone:
		case <-drain.Done():
		}
	})
	draining.Wait()
	stop()
	return errors.Join(err, services.Wait())
}

// base is the context of a listener's requests.
func (r *Router) base(ctx context.Context, proto string, l net.Listener, port int) context.Context {
	if l != nil && port == 0 {
		port = l.Addr().(*net.TCPAddr).Port
	}
	return context.WithValue(ctx, schemeKey{}, scheme{proto, strconv.Itoa(port)})
}

// asFrom is what the requests of a connection start as.
func asFrom(ctx context.Context, c net.Conn) *http.Request {
	r := (&http.Request{}).WithContext(ctx)
	r.RemoteAddr = c.RemoteAddr().String()
	return r
}

// serveTLS serves a connection; greeted is called when it is known what it speaks.
func (r *Router) serveTLS(ctx context.Context, c *tls.Conn, h2 *handover, greeted func()) {
	greeted = sync.OnceFunc(greeted)
	defer greeted()
	hello, cancel := context.WithTimeout(ctx, r.cfg.Settings.Head)
	err := c.HandshakeContext(hello)
	cancel()
	if err != nil {
		tellPlainHTTP(err)
		c.Close()
		return
	}
	state := c.ConnectionState()
	if state.NegotiatedProtocol == "h2" {
		h2.give(c)
		return
	}
	greeted()
	t := asFrom(ctx, c)
	t.TLS = &state
	r.http1.ServeConn(c, t)
}

// tellPlainHTTP answers a client whose handshake failed as it speaks HTTP without
// TLS.
func tellPlainHTTP(failed error) {
	var record tls.RecordHeaderError
	if !errors.As(failed, &record) || record.Conn == nil {
		return
	}
	switch string(record.RecordHeader[:]) { // the first bytes of a request
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		record.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(record.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+
			"This port speaks HTTPS, not HTTP.\n")
	}
}

// accept hands connections to serve, which must not wait, until ctx ends.
func accept(ctx context.Context, l net.Listener, serve func(net.Conn), log *slog.Logger) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			serve(c)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default: // too many open files, say: it passes
			log.Warn("a connection could not be accepted", "err", err)
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// handover is a listener whose connections are given to it.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handover) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error { h.once.Do(func() { close(h.closed) }); return nil }

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// status serves /healthz, 200 once there are routes, and /hosts/NAME, where
// that host's requests go.
func (r *Router) status() *http1.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		t := r.routes.table.Load()
		w.Header().Set("Content-Type", "application/json")
		if !t.loaded {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(map[string]any{"apps": len(t.apps), "hosts": len(t.hosts), "generation": t.gen,
			"waiting_requests": t.waiting(), "waits_for": r.WaitsFor()})
	})
	mux.HandleFunc("GET /hosts/{host}", func(w http.ResponseWriter, req *http.Request) {
		d := r.routes.table.Load().lookup(req.PathValue("host"), "/")
		if d == nil {
			http.NotFound(w, req)
			return
		}
		backends := map[string]string{}
		for _, b := range d.backends {
			backends[b.name] = b.addr
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"app": d.route.Name, "service": d.service, "backends": backends})
	})
	refuse := func(w http.ResponseWriter, _ *http.Request, e *http1.Error) { http.Error(w, e.Reason, e.Status) }
	return &http1.Server{Handler: mux, Refuse: refuse, Limits: http1.DefaultLimits, Log: r.cfg.Log,
		HeadTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second, BodyTimeout: 5 * time.Second}
}
