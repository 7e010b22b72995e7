package router

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// GetCertificate chooses the certificate for a connection; it is what
// tls.Config calls.
type GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// Certificate returns a GetCertificate for one certificate and its key, each
// PEM text or a file's path. Files are read again when they change; one that
// cannot be read then leaves the last in use.
func Certificate(cert, key string, log *slog.Logger) (GetCertificate, error) {
	p := &pair{cert: cert, key: key, log: log}
	if err := p.load(); err != nil {
		return nil, err
	}
	return p.get, nil
}

// lookAgain is how often the files are asked for their times.
var lookAgain = 5 * time.Second

type pair struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	stamp   string
	checked time.Time
}

func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.checked) >= lookAgain {
		if stamp := p.stampNow(); stamp != p.stamp {
			if err := p.load(); err != nil {
				p.log.Warn("the new certificate cannot be used; going on with the last", "err", err)
			}
		}
		p.checked = time.Now()
	}
	return p.loaded, nil
}

// stampNow describes the files' state.
func (p *pair) stampNow() (stamp string) {
	for _, f := range []string{p.cert, p.key} {
		if !isPEM(f) {
			if st, err := os.Stat(f); err == nil {
				stamp += fmt.Sprint(st.ModTime().UnixNano(), st.Size(), " ")
			}
		}
	}
	return stamp
}

func (p *pair) load() error {
	stamp := p.stampNow()
	cert, err := pemText("HOIST_TLS_CERT", p.cert)
	if err != nil {
		return err
	}
	key, err := pemText("HOIST_TLS_KEY", p.key)
	if err != nil {
		return err
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("HOIST_TLS_CERT and HOIST_TLS_KEY: %w", err)
	}
	p.loaded, p.stamp, p.checked = &c, stamp, time.Now()
	return nil
}

func isPEM(s string) bool { return strings.Contains(s, "-----BEGIN ") }

func pemText(name, s string) ([]byte, error) {
	if isPEM(s) {
		return []byte(s), nil
	}
	data, err := os.ReadFile(s)
	if err != nil {
		return nil, fmt.Errorf("%s is neither PEM text nor a readable file: %w", name, err)
	}
	return data, nil
}
