package socket

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/hoist-sh/hoist"
)

// linger is how long a server that is to be replaced goes on as if it were not:
// until all routers know, even those that a bell did not reach. A connection
// that is closed just when a request is sent on it costs that request.
const linger = hoist.ResyncInterval + time.Second

// ServeHTTP serves on l until ctx ends, and then finishes what is under way for
// at most drain; the rest is cut off. If drain is long enough for that, new
// requests are taken for another 4 s. An error is why it could not serve.
func ServeHTTP(ctx context.Context, server *http.Server, l net.Listener, drain time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if drain > 2*linger {
		select {
		case err := <-served:
			return err
		case <-time.After(linger):
		}
	}
	if server.Shutdown(late) != nil {
		server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
