package proof

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What a router passed on comes back, all of it.
func TestEchoIsWhole(t *testing.T) {
	s := httptest.NewServer(New(Config{}).Handler())
	defer s.Close()
	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	for range 20 {
		r, err := http.NewRequest("POST", s.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Header.Set("X-Request-Id", "1")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%s, %d bytes of %d, %v", resp.Status, len(got), len(body), err)
		}
	}
	resp, err := http.Post(s.URL, "text/plain", strings.NewReader("x"))
	if err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Fatalf("what came by no router was answered %v, %v", resp, err)
	}
}
