package rendezvous

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// serve accepts connections until the test ends.
func serve(t *testing.T, cfg *tls.Config, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f(conn)
		}
	}()
	return l.Addr().String()
}

// echo is a dyno that repeats what it is told and ends at EOT.
func echo(conn net.Conn) {
	defer conn.Close()
	if Accept(conn, func(secret string) error {
		if secret != "s3cret" {
			return hoist.NotFound("dyno")
		}
		return nil
	}) != nil {
		return
	}
	b := make([]byte, 100)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		text, ended := bytes.CutSuffix(b[:n], []byte{EOT})
		conn.Write(text)
		if ended {
			return
		}
	}
}

func TestClientAndDynoExchangeRawBytes(t *testing.T) {
	conn, err := Dial(t.Context(), serve(t, nil, echo), "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("hello\x00\xff\x04"))
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello\x00\xff" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRefusalNamesTheReason(t *testing.T) {
	_, err := Dial(t.Context(), serve(t, nil, echo), "wrong")
	if e, ok := hoist.AsError(err); !ok || e.Message != "Couldn't find that dyno." {
		t.Errorf("%v", err)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	for _, line := range []string{strings.Repeat("x", 5000), "\r\n", "a b\r\n", "\x16\x03\x01\x02\x00\n"} {
		client, server := net.Pipe()
		got := make(chan error, 1)
		go func() {
			got <- Accept(server, func(string) error { t.Error("looked up"); return nil })
		}()
		client.Write([]byte(line))
		if err := <-got; err == nil {
			t.Errorf("%.10q was accepted", line)
		}
	}
	if got, err := parseSecret(strings.NewReader(strings.Repeat("x", SecretLimit) + "\r\n")); err != nil || len(got) != SecretLimit {
		t.Error(got, err)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := serve(t, nil, func(conn net.Conn) { Accept(conn, func(string) error { <-hang; return nil }) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, addr, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// TestRelay is the router's way: TLS outside, plain inside.
func TestRelay(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	defer web.Close()
	dyno := serve(t, nil, echo)
	ended := make(chan struct{}, 2)
	router := serve(t, &tls.Config{Certificates: web.TLS.Certificates}, func(conn net.Conn) {
		defer func() { ended <- struct{}{} }()
		secret, err := ReadSecret(conn)
		if err != nil {
			Refuse(conn, err)
			return
		}
		inner, err := Dial(t.Context(), dyno, secret)
		if err != nil {
			Refuse(conn, err)
			return
		}
		if Welcome(conn) == nil {
			Relay(t.Context(), conn, inner)
		}
	})
	cfg := &tls.Config{InsecureSkipVerify: true} // the test server's own certificate

	t.Run("both end with the dyno", func(t *testing.T) {
		conn, err := DialTLS(t.Context(), router, "s3cret", cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("hello\x04"))
		if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		conn.Close()
		<-ended
	})
	t.Run("both end with the client", func(t *testing.T) {
		conn, err := DialTLS(t.Context(), router, "s3cret", cfg)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		<-ended
	})
	t.Run("a refusal is passed on", func(t *testing.T) {
		_, err := DialTLS(t.Context(), router, "wrong", cfg)
		if e, ok := hoist.AsError(err); !ok || e.Message != "Couldn't find that dyno." {
			t.Errorf("%v", err)
		}
		<-ended
	})
}

// TestAClientThatStillSendsGetsAllOutput is `yes | hoist run 'cat big'`.
func TestAClientThatStillSendsGetsAllOutput(t *testing.T) {
	big := bytes.Repeat([]byte("output\n"), 30_000)
	for name, end := range map[string]func(net.Conn){
		"the dyno reads on":      func(conn net.Conn) { CloseWrite(conn); io.Copy(io.Discard, conn) },
		"the dyno reads no more": func(conn net.Conn) { conn.(*net.TCPConn).CloseRead(); CloseWrite(conn) },
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, nil, func(conn net.Conn) {
				if Accept(conn, func(string) error { return nil }) == nil {
					conn.Write(big)
					end(conn)
				}
			})
			ended := make(chan struct{})
			router := serve(t, nil, func(conn net.Conn) {
				defer close(ended)
				ReadSecret(conn)
				dyno, err := Dial(t.Context(), addr, "x")
				if err != nil {
					t.Error(err)
					return
				}
				Welcome(conn)
				Relay(t.Context(), conn, dyno)
			})
			conn, err := Dial(t.Context(), router, "x")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for line := bytes.Repeat([]byte("y\n"), 1000); ; {
					if _, err := conn.Write(line); err != nil {
						return
					}
				}
			}()
			time.Sleep(200 * time.Millisecond) // the dyno ends before its client has read a byte
			if got, err := io.ReadAll(conn); err != nil || len(got) != len(big) {
				t.Errorf("%d of %d bytes, %v", len(got), len(big), err)
			}
			conn.Close()
			<-ended
		})
	}
}

func TestGreetingIsOneWriteAndNothingBeyondTheSecretIsRead(t *testing.T) {
	client, server := net.Pipe() // a read sees one write at most
	go echo(server)
	go io.WriteString(client, "s3cret\r\nearly")
	b := make([]byte, 100)
	for _, want := range []string{greeting, "early"} {
		if n, err := client.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
}

func FuzzSecret(f *testing.F) {
	for _, s := range []string{"s3cret\r\n", "s3cret\n", "\r\n", "", "\x16\x03\x01", strings.Repeat("a", 200), "a\rb\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		secret, err := parseSecret(r)
		if err != nil {
			return
		}
		if secret == "" || len(secret) > SecretLimit || strings.ContainsAny(secret, "\r\n \x00") {
			t.Errorf("%q gave %q", in, secret)
		}
		if end := bytes.IndexByte(in, '\n'); len(in)-r.Len() != end+1 {
			t.Errorf("%q: read %d bytes", in, len(in)-r.Len())
		}
	})
}

func FuzzGreeting(f *testing.F) {
	for _, s := range []string{greeting, " !    no\r\n", "HTTP/1.1 400 Bad Request\r\n", "", "rendezvous\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		err := greet(struct {
			io.Reader
			io.Writer
		}{r, io.Discard}, "x")
		if (err == nil) != bytes.HasPrefix(in, []byte(greeting)) && !bytes.HasPrefix(in, []byte("rendezvous\n")) {
			t.Errorf("%q: %v", in, err)
		}
	})
}
