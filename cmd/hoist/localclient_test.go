package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/hoist-sh/hoist"
)

func TestThePlatformIsReachedWhateverItsNameSays(t *testing.T) {
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, what) })
	}
	platform, s3 := httptest.NewTLSServer(says("platform")), httptest.NewServer(says("S3"))
	defer platform.Close()
	defer s3.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: platform.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	// Its certificate is for example.com, which is not this machine.
	c := &upCommand{public: hoist.Public{Domain: "example.com"}, local: "127.0.0.1", dataDir: dir}
	u, err := url.Parse(platform.URL)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{"https://example.com:" + u.Port(): "platform", s3.URL: "S3"} {
		resp, err := c.client().Get(address)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("%s: %q", address, got)
		}
	}
}
