// Package blobtest serves a real file store for tests.
package blobtest

import (
	"context"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats/natstest"
)

// Store is a file store of the test's own, served over HTTP as the seed does.
type Store struct {
	t      testing.TB
	dir    string
	server *httptest.Server
}

// Everybody is a user who may do everything.
const Everybody = "test"

const secret = "test"

// New serves an empty store until the test ends, to the users that
// components have, and Everybody.
func New(t testing.TB) *Store {
	t.Helper()
	dir := t.TempDir()
	files, err := blob.NewFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{}
	for _, c := range hoist.Components {
		secrets[c] = secret
	}
	users := blob.Users(secrets)
	users[Everybody] = blob.User{Secret: secret, Read: []string{""}, Write: []string{""}}
	s := &Store{t, dir, httptest.NewServer(blob.NewServer(files, users, natstest.Log(t)))}
	t.Cleanup(s.server.Close)
	return s
}

// URL is a user's BLOB_URL.
func (s *Store) URL(user string) string {
	u := url.URL{Scheme: "hoist", User: url.UserPassword(user, secret), Host: s.server.Listener.Addr().String()}
	return u.String()
}

// Open opens the store as a user, with its permissions only.
func (s *Store) Open(user string) hoist.Blobs {
	s.t.Helper()
	blobs, err := blob.Open(s.URL(user))
	if err != nil {
		s.t.Fatal(err)
	}
	return blobs
}

// Damage changes a byte of a blob on disk, as a bad disk does.
func (s *Store) Damage(key string) {
	s.t.Helper()
	if err := DamageFile(s.dir, key); err != nil {
		s.t.Fatal(err)
	}
}

// DamageFile changes the first byte of a blob of the file store in dir.
func DamageFile(dir, key string) error {
	f, err := os.OpenFile(filepath.Join(dir, "blobs", key+"@"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{^b[0]}, 0)
	return err
}

// Keys lists what there is, in order.
func (s *Store) Keys() (keys []string) {
	s.t.Helper()
	err := s.Open(Everybody).List(context.Background(), "", func(b hoist.BlobInfo) error {
		keys = append(keys, b.Key)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}
