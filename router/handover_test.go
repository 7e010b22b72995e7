package router_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/router"
	"github.com/hoist-sh/hoist/socket"
)

// Routers replace each other on the same sockets while clients come all the
// time, who take their time: before the handshake, after it, and before a request's first
// byte. None is turned away.
func TestRoutersAreReplacedUnderClientsThatTakeTheirTime(t *testing.T) {
	plain, secure := listen(t), listen(t)
	overHTTP, overTLS := plain.Addr().String(), secure.Addr().String()
	again := func(l net.Listener) net.Listener {
		f, err := socket.File(l.(*net.TCPListener), "held")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		same, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		return same
	}
	next := func(c *router.Config) {
		c.HTTP.Close()
		c.HTTPS.Close()
		c.HTTP, c.HTTPS, c.Settings.Drain = again(plain), again(secure), time.Minute
	}
	w := newWorld(t, next)
	_, host := w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "served") })

	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	failed, served := map[string][]error{}, map[string]int{}
	client := func(kind string, visit func() error) {
		for range 8 {
			clients.Go(func() {
				for ctx.Err() == nil {
					err := visit()
					mu.Lock()
					if served[kind]++; err != nil {
						failed[kind] = append(failed[kind], err)
					}
					mu.Unlock()
				}
			})
		}
	}
	pause := func() { time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) }
	// speak sends a request over a connection of its own.
	speak := func(c net.Conn) error {
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		return isServed(resp, err)
	}
	client("HTTP", func() error {
		c, err := net.Dial("tcp", overHTTP)
		if err != nil {
			return err
		}
		pause()
		return speak(c)
	})
	// dial connects slowly.
	dial := func(protocols ...string) (net.Conn, error) {
		raw, err := net.Dial("tcp", overTLS)
		if err != nil {
			return nil, err
		}
		pause()
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err := c.Handshake(); err != nil {
			return nil, fmt.Errorf("the handshake: %w", err)
		}
		pause()
		return c, nil
	}
	client("HTTPS", func() error {
		c, err := dial("http/1.1")
		if err != nil {
			return err
		}
		return speak(c)
	})
	ask := func(c *http.Client) error {
		r, _ := http.NewRequest("GET", "https://"+overTLS, nil)
		r.Host = host
		return isServed(c.Do(r))
	}
	over2 := func(connect func() (net.Conn, error)) *http.Transport {
		return &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return connect() }}
	}
	client("HTTP/2, new connections", func() error {
		var connected time.Time
		tr := over2(func() (net.Conn, error) {
			c, err := dial("h2")
			connected = time.Now()
			return c, err
		})
		defer tr.CloseIdleConnections()
		err := ask(&http.Client{Transport: tr})
		// A connection on which no request came for a second after GOAWAY is closed (http2's goAwayTimeout).
		if waited := time.Since(connected); err != nil && strings.Contains(err.Error(), "http2: client conn could not be established") && waited > time.Second {
			t.Logf("a starved client took %s to send its request: %v", waited, err)
			return nil
		}
		return err
	})
	client("HTTP/2, new connections at once", func() error {
		tr := over2(func() (net.Conn, error) {
			return tls.Dial("tcp", overTLS, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		})
		defer tr.CloseIdleConnections()
		return ask(&http.Client{Transport: tr})
	})
	kept := &http.Client{Transport: over2(func() (net.Conn, error) {
		return tls.Dial("tcp", overTLS, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	})}
	client("HTTP/2, kept connections", func() error {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		return ask(kept)
	})

	var old sync.WaitGroup
	for range 8 {
		time.Sleep(500 * time.Millisecond)
		stop := w.stop
		w.start(next)
		old.Go(stop)
	}
	cancel()
	clients.Wait()
	kept.CloseIdleConnections()
	begun := time.Now()
	old.Wait()
	t.Logf("%v served; the last router that was replaced ended %s after the last client", served, time.Since(begun).Round(time.Millisecond))
	for kind, errs := range failed {
		t.Errorf("%s: %d of %d failed, the first with: %v", kind, len(errs), served[kind], errs[0])
	}
}

func isServed(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "served" {
		return fmt.Errorf("%s: %q: %w", resp.Status, b, err)
	}
	return nil
}
