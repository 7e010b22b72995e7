package seed

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/proof"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const componentSeed = nats.ComponentSeed

// everybody are the users of the ground.
var everybody = append([]string{componentSeed}, hoist.Components...)

func (s *Seed) runPostgres(ctx context.Context, ready func()) error {
	srv := s.cfg.postgres(s.state)
	srv.Outside, srv.Log = s.cfg.Outside, s.log
	if err := srv.Init(ctx); err != nil {
		return err
	}
	roles := map[string]string{}
	for _, c := range everybody {
		roles["hoist_"+c] = s.state.secret(c, "database")
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer reapOrphans("postgres")
		return srv.Run(ctx)
	})
	g.Go(func() error {
		if err := srv.Ready(ctx, roles); err != nil {
			return err
		}
		ready()
		return nil
	})
	return g.Wait()
}

func (s *Settings) postgres(st *state) *postgres.Server {
	return &postgres.Server{Dir: s.file("postgres"), Port: st.PostgresPort, Password: st.PostgresPassword}
}

func (s *Seed) runNATS(ctx context.Context, ready func()) error {
	users := map[string]string{}
	for _, c := range everybody {
		users[c] = s.state.secret(c, "bus")
	}
	srv, err := nats.StartServer(nats.Config{
		Dir: s.cfg.file("nats"), Addr: loopback(s.state.NATSPort), Users: users, Log: s.log,
	})
	if err != nil {
		return err
	}
	defer srv.Close()
	ready()
	return srv.Wait(ctx)
}

// prepareNATS makes our streams in a NATS of somebody else.
func (s *Seed) prepareNATS(ctx context.Context, ready func()) error {
	bus, err := nats.Connect(s.cfg.NATSURL, s.log)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.EnsureStreams(ctx); err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return nil
}

// runBlobs serves the blobs on the loopback and on the gateway's address, where
// build dynos may reach it. That address exists while there are dynos; binding
// to it does not wait for that.
func (s *Seed) runBlobs(ctx context.Context, ready func()) error {
	files, err := blob.NewFiles(s.cfg.file("blobs"))
	if err != nil {
		return err
	}
	secrets := map[string]string{}
	for _, c := range hoist.Components {
		secrets[c] = s.state.secret(c, "blobs")
	}
	server := http.NewServeMux()
	store := blob.NewServer(files, blob.Users(secrets), s.log)
	server.Handle("/", store)
	server.Handle("/blobs/", http.StripPrefix("/blobs", store)) // from outside
	g, ctx := errgroup.WithContext(ctx)
	for name, addr := range map[string]string{"blobs": loopback(s.state.BlobPort), "blobs-gate": s.cfg.blobGate(s.state)} {
		l, err := s.listen(ctx, name, addr)
		if err != nil {
			return err
		}
		defer l.Close()
		g.Go(func() error { return serve(ctx, l, server, s.log) })
	}
	ready()
	return g.Wait()
}

// blobGate is where dynos reach the blob store.
func (s *Settings) blobGate(st *state) string {
	return net.JoinHostPort(s.gateway().String(), strconv.Itoa(st.BlobPort))
}

// listenFree listens on an address that need not exist yet (ip(7), IP_FREEBIND).
func listenFree(ctx context.Context, addr string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(ctx, "tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("blobs: %w", err)
	}
	return l, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// register keeps the blob store among the platform's processes, for the router.
func (s *Seed) register(ctx context.Context) {
	if s.cfg.BlobURL == "" {
		s.keepRegistered(ctx, "blobs", loopback(s.state.BlobPort))
	}
}

// serveProofs is what routers are asked for in their proof.
func (s *Seed) serveProofs(ctx context.Context) {
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		s.log.Error("routers cannot be proven", "err", err)
		return
	}
	go serve(ctx, l, s.system.prover.Handler(), s.log)
	s.keepRegistered(ctx, proof.ServiceType, l.Addr().String())
}

func (s *Seed) keepRegistered(ctx context.Context, service, address string) {
	s.db.KeepRegistered(ctx, s.bus, postgres.Registration{
		ID: hoist.NewID(), Type: service, Address: address, Version: s.cfg.Version,
	}, nil, func() {})
}

func (s *Settings) databaseURL(st *state, component string) string {
	if s.DatabaseURL != "" {
		return s.DatabaseURL
	}
	return s.postgres(st).RoleURL("hoist_"+component, st.secret(component, "database"))
}

func (s *Settings) natsURL(st *state, component string) string {
	if s.NATSURL != "" {
		return s.NATSURL
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword(component, st.secret(component, "bus")), Host: loopback(st.NATSPort)}
	return u.String()
}

func (s *Settings) blobURL(st *state, component string) string {
	if s.BlobURL != "" {
		return s.BlobURL
	}
	q := url.Values{
		"dyno":   {"http://" + s.blobGate(st)},
		"public": {s.Public().API() + "blobs"},
	}
	u := url.URL{Scheme: "hoist", User: url.UserPassword(component, st.secret(component, "blobs")),
		Host: loopback(st.BlobPort), RawQuery: q.Encode()}
	return u.String()
}
