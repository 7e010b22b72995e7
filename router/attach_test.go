package router

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// lookup is a Store that only looks up attached dynos.
type lookup struct {
	Store
	find func() (address string, err error)
}

func (l lookup) AttachAddress(context.Context, []byte) (hoist.ID, string, error) {
	address, err := l.find()
	return "", address, err
}

func testAttach(t *testing.T, find func() (string, error)) *attach {
	srv := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(srv.Close)
	return newAttach(lookup{find: find}, nil, srv.TLS, slog.New(slog.DiscardHandler))
}

// client connects, and shows its secret if it has one.
func (a *attach) client(t *testing.T, secret string) net.Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	go a.serve(t.Context(), server)
	if secret == "" {
		return client
	}
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, secret+"\r\n")
	return c
}

func TestConnectionsWithoutASecretKeepNobodyOut(t *testing.T) {
	looked := make(chan bool, 1)
	a := testAttach(t, func() (string, error) { looked <- true; return "", hoist.ErrNotFound })
	gone := make(chan bool, attachLimit)
	for range attachLimit {
		c := a.client(t, "")
		go func() { c.Read(make([]byte, 1)); gone <- true }()
	}
	for range attachLimit - strangerLimit { // then all are there, and those that came first have gone
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			t.Fatal("strangers are not made to go")
		}
	}
	a.client(t, "secret")
	select {
	case <-looked:
	case <-time.After(10 * time.Second):
		t.Fatal("a client with a secret is not served")
	}
}

func TestAClientForWhomThereIsNoRoomIsTold(t *testing.T) {
	a := testAttach(t, func() (string, error) { t.Error("looked up"); return "", hoist.ErrNotFound })
	for range attachLimit {
		a.slots <- struct{}{}
	}
	if line, err := bufio.NewReader(a.client(t, "secret")).ReadString('\n'); !strings.HasPrefix(line, " !    Too many") {
		t.Error(line, err)
	}
}

func TestWhoWaitsForADynoIsToldWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{{nil, "no_worker"}, {errors.New("connection refused"), "database_away"}} {
		a := testAttach(t, func() (string, error) { return "", c.err })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := a.find(ctx, "secret"); !hasID(err, c.want) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

func hasID(err error, id string) bool {
	e, ok := hoist.AsError(err)
	return ok && e.ID == id
}
