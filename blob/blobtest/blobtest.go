// Package blobtest serves a real file store for tests.
package blobtest

import (
	"context"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats/natstest"
)

// Store is a file store of the test's own, served over HTTP as the seed does.
type Store struct {
	t      testing.TB
	server *httptest.Server
}

// Everybody is a user who may do everything.
const Everybody = "test"

const secret = "test"

// New serves an empty store until the test ends, to the users that
// components have, and Everybody.
func New(t testing.TB) *Store {
	t.Helper()
	files, err := blob.NewFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{}
	for _, c := range hoist.Components {
		secrets[c] = secret
	}
	users := blob.Users(secrets)
	users[Everybody] = blob.User{Secret: secret, Read: []string{""}, Write: []string{""}}
	s := &Store{t, httptest.NewServer(blob.NewServer(files, users, natstest.Log(t)))}
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
