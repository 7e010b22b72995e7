package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ringBacklog is how many bells may wait to be sent.
const ringBacklog = 4096

// Bus is a client of a NATS server; it implements hoist.Bus.
type Bus struct {
	log    *slog.Logger
	nc     *natsgo.Conn
	js     jetstream.JetStream
	link   link
	rings  chan bell
	append map[string]*appender // by stream
	stop   context.CancelFunc
	done   sync.WaitGroup
}

var _ hoist.Bus = (*Bus)(nil)

type bell struct {
	subject string
	data    []byte
}

// Connect returns a bus for a URL, "nats://USER:PASSWORD@HOST:PORT", several
// of them separated by commas for a cluster. The connection is made in the
// background and made again for ever; an error means that the URL is wrong.
func Connect(rawURL string, log *slog.Logger) (*Bus, error) {
	first, _, _ := strings.Cut(rawURL, ",")
	u, err := url.Parse(first)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("NATS_URL: want nats://USER:PASSWORD@HOST:PORT")
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{log: log, stop: stop, rings: make(chan bell, ringBacklog), append: map[string]*appender{}}
	b.link.changed = make(chan struct{})
	b.nc, err = natsgo.Connect(rawURL,
		natsgo.Name("hoist "+u.User.Username()),
		natsgo.CustomInboxPrefix(inbox(cmp.Or(u.User.Username(), "hoist"))),
		natsgo.RetryOnFailedConnect(true),
		natsgo.MaxReconnects(-1),
		natsgo.IgnoreAuthErrorAbort(),
		natsgo.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(time.Duration(attempts)*50*time.Millisecond, time.Second)
		}),
		// What is sent while away must not come later, out of order: bells
		// are lost, and stream messages wait in queues of ours.
		natsgo.ReconnectBufSize(-1),
		natsgo.PingInterval(5*time.Second),
		natsgo.MaxPingsOutstanding(2),
		natsgo.ConnectHandler(func(*natsgo.Conn) { b.link.up() }),
		natsgo.ReconnectHandler(func(*natsgo.Conn) {
			log.Info("bus is back")
			b.link.up()
		}),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			b.link.down()
			if err != nil {
				log.Warn("bus is away", "err", err)
			}
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { b.asyncError(err) }),
	)
	if err != nil {
		stop()
		return nil, fmt.Errorf("NATS_URL: %w", err)
	}
	if !b.nc.IsConnected() {
		log.Warn("waiting for the bus", "server", u.Host, "err", b.nc.LastError())
	}
	if b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(4*appendBatch)); err != nil {
		stop()
		b.nc.Close()
		return nil, err
	}
	b.done.Go(func() { b.ring(ctx) })
	for _, stream := range []string{streamLogs, streamBuilds} {
		a := newAppender(b, stream)
		b.append[stream] = a
		b.done.Go(func() { a.run(ctx) })
	}
	return b, nil
}

// Close sends what is waiting, for 2 s at most, and disconnects.
func (b *Bus) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, a := range b.append {
		a.close()
	}
	if b.nc.IsConnected() {
		b.Flush(ctx)
	}
	b.stop()
	b.done.Wait()
	for _, a := range b.append {
		if n := a.lost(); n > 0 {
			b.log.Warn("bus: messages are lost, as it is away", "stream", a.stream, "messages", n)
		}
	}
	if b.nc.IsConnected() {
		b.nc.FlushWithContext(ctx)
	}
	b.nc.Close()
}

// Connected reports whether the server is there.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Ring implements hoist.Bus.
func (b *Bus) Ring(subject string, data []byte) {
	select {
	case b.rings <- bell{subject, data}:
	default: // a bell may be lost
	}
}

// ring sends the bells, so that a server that hangs blocks nobody else.
func (b *Bus) ring(ctx context.Context) {
	for {
		select {
		case r := <-b.rings:
			b.nc.Publish(r.subject, r.data)
		case <-ctx.Done():
			for {
				select {
				case r := <-b.rings:
					b.nc.Publish(r.subject, r.data)
				default:
					return
				}
			}
		}
	}
}

// Listen implements hoist.Bus. It returns at once; an error means that the
// subject is wrong.
func (b *Bus) Listen(ctx context.Context, subject string, f func(subject string, data []byte)) error {
	sub, err := b.nc.Subscribe(subject, func(m *natsgo.Msg) {
		if ctx.Err() == nil {
			f(m.Subject, m.Data)
		}
	})
	if err != nil {
		return fmt.Errorf("nats: listen %q: %w", subject, err)
	}
	context.AfterFunc(ctx, func() { sub.Unsubscribe() })
	return nil
}

var deniedPublish = regexp.MustCompile(`Publish to "([^"]+)"`)

// asyncError takes what the server says without being asked.
func (b *Bus) asyncError(err error) {
	b.log.Error("bus", "err", err)
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return
	}
	if m := deniedPublish.FindStringSubmatch(err.Error()); m != nil {
		if stream, err := streamOf(m[1]); err == nil {
			b.append[stream].deny(m[1])
		}
	}
}

// link says whether there is a connection, as a context for each.
type link struct {
	mu      sync.Mutex
	ctx     context.Context // of the present connection; nil if there is none
	cancel  context.CancelFunc
	changed chan struct{} // closed and replaced when a connection is made
}

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx != nil {
		return
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx != nil {
		l.cancel()
		l.ctx = nil
	}
}

// wait returns a context that ends with the connection or with ctx, once
// there is a connection; false if ctx ended first. Call the cancel function.
func (l *link) wait(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	for {
		l.mu.Lock()
		conn, changed := l.ctx, l.changed
		l.mu.Unlock()
		if conn != nil {
			linked, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(conn, cancel)
			return linked, func() { stop(); cancel() }, true
		}
		select {
		case <-ctx.Done():
			return nil, func() {}, false
		case <-changed:
		}
	}
}
