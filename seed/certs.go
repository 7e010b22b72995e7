package seed

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/crypto/ssh"
)

// Certificates of our own: a CA for ten years, and the platform's certificate,
// which is renewed in its last month. Browsers take no longer than 398 days.
const (
	caYears  = 10
	certDays = 397
	renewAt  = 30 * 24 * time.Hour
)

// CAFile is the certificate of the platform's own CA, for clients to trust.
func (s *Settings) CAFile() string { return s.file("ca.pem") }

func (s *Settings) certFile() (cert, key string) {
	if s.TLSCert != "" {
		return s.TLSCert, s.TLSKey
	}
	return s.file("cert.pem"), s.file("cert-key.pem")
}

// ensureCerts makes the CA and the certificate, unless there are good ones or
// the settings name one.
func (s *Settings) ensureCerts(now time.Time) error {
	if s.TLSCert != "" {
		_, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		return err
	}
	// The platform's own hosts are named one by one: clients refuse wildcards
	// below a top-level domain (*.localhost).
	names := []string{s.Domain, "*." + s.Domain, "localhost"}
	for _, host := range hoist.PlatformHosts {
		names = append(names, host+"."+s.Domain)
	}
	ca, err := tls.LoadX509KeyPair(s.CAFile(), s.file("ca-key.pem"))
	if errors.Is(err, fs.ErrNotExist) {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: "hoist CA of " + s.Domain}, NotAfter: now.AddDate(caYears, 0, 0),
			IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		}
		ca, err = s.makeCert(template, nil, s.CAFile(), s.file("ca-key.pem"), now)
	}
	if err != nil {
		return fmt.Errorf("CA: %w", err)
	}
	certFile, keyFile := s.certFile()
	if cert, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil &&
		now.Add(renewAt).Before(cert.Leaf.NotAfter) && slices.Equal(cert.Leaf.DNSNames, names) && cert.Leaf.CheckSignatureFrom(ca.Leaf) == nil {
		return nil
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: s.Domain}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: now.AddDate(0, 0, certDays), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	_, err = s.makeCert(template, &ca, certFile, keyFile, now)
	return err
}

// makeCert signs a certificate with a new key, by ca or by itself, and writes
// both; the key first, so that a certificate always has one.
func (s *Settings) makeCert(template *x509.Certificate, ca *tls.Certificate, certFile, keyFile string, now time.Time) (tls.Certificate, error) {
	var none tls.Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return none, err
	}
	template.NotBefore = now.Add(-time.Hour) // clocks differ
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return none, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return none, err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(writeFile(keyFile, keyPEM, 0o600), writeFile(certFile, certPEM, 0o644)); err != nil {
		return none, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func (s *Settings) hostKeyFile() string { return s.file("ssh_host_ed25519_key") }

// ensureHostKey makes the SSH host key, and its public half beside it.
func (s *Settings) ensureHostKey() error {
	if text, err := os.ReadFile(s.hostKeyFile()); err == nil {
		_, err = ssh.ParsePrivateKey(text)
		return err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "hoist")
	if err != nil {
		return err
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(s.hostKeyFile()+".pub", ssh.MarshalAuthorizedKey(sshPublic), 0o644),
		writeFile(s.hostKeyFile(), pem.EncodeToMemory(block), 0o600))
}
