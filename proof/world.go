package proof

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/crypto/ssh"
)

const (
	email   = "proof@hoist.invalid" // RFC 2606: nobody's
	appName = hoist.ProofApp

	tokenLife = 2 * time.Hour

	// How the names of what is only there during a proof begin.
	pushDirs, slugFiles = "push", "slug"
)

// world is the account and the app with which proofs are done.
type world struct {
	account hoist.Account
	app     hoist.App
	token   string
	key     string // file of the SSH key
}

// world makes it, or finds it as it was.
func (p *Prover) world(ctx context.Context) (*world, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made != nil && time.Since(p.madeAt) < tokenLife/2 {
		return p.made, nil
	}
	if p.made == nil {
		p.tidy()
	}
	db, w := p.cfg.DB, &world{token: hoist.NewSecret(), key: filepath.Join(p.cfg.Dir, "id_ed25519")}
	var err error
	if w.account, err = db.Account(ctx, email); errors.Is(err, hoist.ErrNotFound) {
		w.account = hoist.Account{ID: hoist.NewID(), Email: email, Name: "The platform's own proofs"}
		err = db.CreateAccount(ctx, w.account) // without a password nobody can log in
	}
	if err != nil {
		return nil, err
	}
	if w.app, err = db.App(ctx, w.account.ID, appName); errors.Is(err, hoist.ErrNotFound) {
		w.app, err = db.CreateApp(ctx, hoist.App{ID: hoist.NewID(), Name: appName, OwnerID: w.account.ID, Stack: p.cfg.Stack, Region: p.cfg.Region})
	}
	if err != nil {
		return nil, err
	}
	if err := p.addKey(ctx, w); err != nil {
		return nil, err
	}
	hash, expires := sha256.Sum256([]byte(w.token)), time.Now().Add(tokenLife)
	if _, err := db.CreateAuthorization(ctx, hoist.Authorization{ID: hoist.NewID(), AccountID: w.account.ID, Description: "proofs",
		Scope: []string{"global"}, TokenHash: hash[:], ExpiresAt: &expires}); err != nil {
		return nil, err
	}
	p.made, p.madeAt = w, time.Now()
	return w, nil
}

// tidy removes what proofs of a process that was killed have left.
func (p *Prover) tidy() {
	for _, pattern := range []string{pushDirs, slugFiles} {
		left, _ := filepath.Glob(filepath.Join(p.cfg.Dir, pattern+"*"))
		for _, path := range left {
			os.RemoveAll(path)
		}
	}
}

func (p *Prover) addKey(ctx context.Context, w *world) error {
	public, err := keyFile(w.key)
	if err != nil {
		return err
	}
	fingerprint := ssh.FingerprintSHA256(public)
	if _, err := p.cfg.DB.AccountByFingerprint(ctx, fingerprint); !errors.Is(err, hoist.ErrNotFound) {
		return err
	}
	_, err = p.cfg.DB.AddKey(ctx, hoist.Key{ID: hoist.NewID(), AccountID: w.account.ID, Comment: "proofs", Fingerprint: fingerprint,
		PublicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))})
	return err
}

// keyFile reads a private key, or makes one, and returns its public half.
func keyFile(path string) (ssh.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		if signer, err := ssh.ParsePrivateKey(text); err == nil {
			return signer.PublicKey(), nil
		} // a power cut left half of it
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "hoist proofs")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}
