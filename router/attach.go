package router

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/rendezvous"
)

const (
	placeTimeout   = 60 * time.Second // for an attached dyno to get a worker
	placeInterval  = 250 * time.Millisecond
	attachStart    = 2 * time.Minute // for the dyno to run, once it has a worker
	attachLimit    = 2000            // clients at once
	strangerLimit  = 500             // connections at once that have shown no secret
	handshakeLimit = 10 * time.Second
)

// attach relays between clients at the rendezvous port and the workers that
// run their dynos.
type attach struct {
	store Store
	bus   hoist.Bus
	log   *slog.Logger
	tls   *tls.Config
	slots chan struct{}

	mu        sync.Mutex
	bell      chan struct{} // closed when a dyno's state has changed
	strangers *list.List    // connections that have shown no secret, the first one at the front
}

func newAttach(store Store, bus hoist.Bus, cfg *tls.Config, log *slog.Logger) *attach {
	return &attach{store: store, bus: bus, log: log, tls: cfg, slots: make(chan struct{}, attachLimit),
		bell: make(chan struct{}), strangers: list.New()}
}

// listen wakes those who wait for a dyno whenever one changes.
func (a *attach) listen(ctx context.Context) error {
	return a.bus.Listen(ctx, hoist.BellDyno+"*", func(string, []byte) {
		a.mu.Lock()
		close(a.bell)
		a.bell = make(chan struct{})
		a.mu.Unlock()
	})
}

func (a *attach) rung() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bell
}

// serve relays one client until it or its dyno has ended.
func (a *attach) serve(ctx context.Context, raw net.Conn) {
	defer raw.Close()
	client := tls.Server(raw, a.tls)
	secret, err := a.greet(ctx, client)
	if err != nil {
		return // not one of ours; not a word
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		a.log.Warn("too many attached clients", "limit", attachLimit)
		rendezvous.Refuse(client, errTooMany)
		return
	}
	dyno, err := a.connect(ctx, secret)
	if errors.Is(err, hoist.ErrNotFound) {
		return
	}
	if err != nil {
		rendezvous.Refuse(client, err)
		return
	}
	if err := rendezvous.Welcome(client); err != nil {
		dyno.Close()
		return
	}
	rendezvous.Relay(ctx, client, dyno)
}

var errTooMany = &hoist.Error{ID: "too_many_attached", Message: "Too many terminals are attached to dynos just now. Try again in a moment.", Status: 503}

// greet returns the secret of a client. When there are too many who have not shown one, the first of them has to go: each is there
// for a moment if it means to be served, and those who do not cannot keep the others out.
func (a *attach) greet(ctx context.Context, client *tls.Conn) (string, error) {
	a.mu.Lock()
	me := a.strangers.PushBack(client)
	if a.strangers.Len() > strangerLimit {
		a.strangers.Remove(a.strangers.Front()).(*tls.Conn).NetConn().Close()
	}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.strangers.Remove(me)
		a.mu.Unlock()
	}()
	hello, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	if err := client.HandshakeContext(hello); err != nil {
		return "", err
	}
	return rendezvous.ReadSecret(client)
}

// connect reaches the secret's dyno when it runs. A worker that is started again meanwhile,
// at another address, goes on with a dyno that has not begun.
func (a *attach) connect(ctx context.Context, secret string) (net.Conn, error) {
	start, cancel := context.WithTimeout(ctx, placeTimeout+attachStart)
	defer cancel()
	for placed := false; ; placed = true {
		worker, err := a.find(start, secret)
		if placed && errors.Is(err, hoist.ErrNotFound) {
			return nil, &hoist.Error{ID: "dyno_gone", Message: "The dyno has ended before it could be reached. `hoist logs` shows why.", Status: 410}
		}
		if err != nil {
			return nil, err
		}
		dyno, err := rendezvous.Dial(start, worker, secret)
		if _, refused := hoist.AsError(err); err == nil || refused {
			return dyno, err
		}
		a.log.Warn("attaching failed", "worker", worker, "err", err)
		select {
		case <-start.Done():
			return nil, &hoist.Error{ID: "attach_failed", Message: "The dyno could not be reached. `hoist ps` shows if it runs.", Status: 503}
		case <-time.After(placeInterval):
		}
	}
}

// find returns the address of the worker that has the secret's dyno, waiting
// until it has one.
func (a *attach) find(ctx context.Context, secret string) (string, error) {
	hash := sha256.Sum256([]byte(secret))
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	var failed error // why the last look did not tell
	for {
		bell := a.rung()
		address, err := a.look(ctx, hash[:])
		if err == nil && address != "" || errors.Is(err, hoist.ErrNotFound) {
			return address, err
		}
		if ctx.Err() == nil {
			failed = err
		}
		select {
		case <-ctx.Done():
			if failed != nil {
				a.log.Warn("an attached dyno could not be looked up", "err", failed)
				return "", &hoist.Error{ID: "database_away", Message: "The platform's database does not answer, so the dyno cannot be found. Try again in a moment.", Status: 503}
			}
			return "", &hoist.Error{ID: "no_worker", Message: "No machine has taken the dyno yet. `hoist ps` shows if it waits for room.", Status: 503}
		case <-bell:
		case <-time.After(placeInterval):
		}
	}
}

// look asks the database once, for as long as an answer can take.
func (a *attach) look(ctx context.Context, hash []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, address, err := a.store.AttachAddress(ctx, hash)
	return address, err
}
