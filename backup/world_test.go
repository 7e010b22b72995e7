package backup_test

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
)

// serve serves a file store, and returns a client who may do all.
func serve(t testing.TB, files *blob.Files) hoist.Blobs {
	t.Helper()
	users := map[string]blob.User{"all": {Secret: "secret", Read: []string{""}, Write: []string{""}}}
	server := httptest.NewServer(blob.NewServer(files, users, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	u, _ := url.Parse(server.URL)
	b, err := blob.Open((&url.URL{Scheme: "hoist", User: url.UserPassword("all", "secret"), Host: u.Host}).String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
