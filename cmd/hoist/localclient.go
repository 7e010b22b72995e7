package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// client speaks to the platform of this machine by its public names, whatever the name
// servers say yet, and to everybody else (an S3 that has the blobs) as usual.
func (c *upCommand) client() *http.Client {
	if c.http != nil {
		return c.http
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if ca, err := os.ReadFile(filepath.Join(c.dataDir, "ca.pem")); err == nil {
		roots.AppendCertsFromPEM(ca)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.DisableKeepAlives = true // the router is replaced meanwhile
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err == nil && (host == c.public.Domain || strings.HasSuffix(host, "."+c.public.Domain)) {
			address = net.JoinHostPort(c.local, port)
		}
		return dial(ctx, network, address)
	}
	c.http = &http.Client{Transport: transport}
	return c.http
}
