package git

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	gossh "golang.org/x/crypto/ssh"
)

// hostKeyBlob is where the SSH host key is kept, so that every git process
// shows the same.
const hostKeyBlob = "git/ssh_host_ed25519_key"

// hostKey returns the key given in the settings, or the one in the blob store,
// which whoever comes first makes. It waits for a blob store that is away.
func (s *Server) hostKey(ctx context.Context) (gossh.Signer, error) {
	if s.HostKey != "" {
		text := []byte(s.HostKey)
		if !strings.HasPrefix(s.HostKey, "-----BEGIN") {
			var err error
			if text, err = os.ReadFile(s.HostKey); err != nil {
				return nil, fmt.Errorf("HOIST_SSH_HOST_KEY: %w", err)
			}
		}
		key, err := gossh.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("HOIST_SSH_HOST_KEY: %w", err)
		}
		return key, nil
	}
	for last := ""; ; {
		text, err := s.keptHostKey(ctx)
		if err == nil {
			return gossh.ParsePrivateKey(text)
		}
		if err.Error() != last && ctx.Err() == nil {
			last = err.Error()
			s.Log.Warn("waiting", "for", "the SSH host key in the blob store", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// keptHostKey reads the key and makes it if there is none. The lock makes one
// key of several first processes.
func (s *Server) keptHostKey(ctx context.Context) ([]byte, error) {
	unlock, err := s.DB.Lock(ctx, "ssh host key", func(time.Duration) {})
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, _, err := s.Blobs.Get(ctx, hostKeyBlob)
	if err == nil {
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, 64<<10))
	}
	if !errors.Is(err, hoist.ErrNotFound) {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := gossh.MarshalPrivateKey(key, "hoist")
	if err != nil {
		return nil, err
	}
	text := string(pem.EncodeToMemory(block))
	return []byte(text), s.Blobs.Put(ctx, hostKeyBlob, strings.NewReader(text), int64(len(text)), int64(len(text)))
}
