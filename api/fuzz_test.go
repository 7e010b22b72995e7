package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hoist-sh/hoist"
)

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"", "id ..", "version ]3..; order=desc,max=1", "name a..b; max=0", "id", "..", "bytes=0-", "id ..;;,max=-1", "] .. ]..;"} {
		f.Add(seed)
	}
	list := []string{"a", "b", "c", "10", "9", ""}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Range", header)
		got, err := page(&call{Request: r}, list, func(s string) any { return s }, sortKey[string]{"id", func(s string) string { return s }})
		if err != nil {
			if e, ok := hoist.AsError(err); !ok || e.Status != 400 {
				t.Fatal(err)
			}
			return
		}
		answer := got.(reply)
		if n := len(answer.body.([]any)); n > len(list) || answer.status == 206 && answer.header.Get("Next-Range") == "" {
			t.Fatalf("%d %v", n, answer)
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"", "*/*", "application/vnd.heroku+json; version=3", "application/vnd.heroku+json; version=2", "application/vnd.heroku+json;version", ",;,="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		err := acceptVersion(header)
		if err != nil && !strings.Contains(strings.ToLower(header), "version") {
			t.Fatal(err)
		}
	})
}

func FuzzQuantity(f *testing.F) {
	for _, seed := range []string{`2`, `"2"`, `"+1"`, `"-1"`, `-1`, `null`, `""`, `1e9`, `"99999999999999999999"`, `{}`, `[]`, `true`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var q quantity
		if json.Unmarshal([]byte(text), &q) != nil {
			return
		}
		if n, err := q.of("web", 50); err == nil && (n < 0 || n > quantityMost) {
			t.Fatal(n)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{"", "Bearer x", "bearer  y", "Basic " + base64.StdEncoding.EncodeToString([]byte("a:b:c")), "Basic", "Basic !"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		user, secret := credentials(header)
		if len(user)+len(secret) > len(header) || strings.Contains(user, ":") {
			t.Fatalf("%q %q", user, secret)
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"name":"a","region":{"name":"local"}}`, `{"name":1}`, `{"name":"\u0000"}`, `{"name":"\\u0000"}`, `[`, "null", `{"region":[]}`, `{"updates":[{"quantity":"x"}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var in struct {
			Name    string             `json:"name"`
			Region  identity           `json:"region"`
			Updates []scaling          `json:"updates"`
			Env     map[string]*string `json:"env"`
		}
		err := decodeJSON([]byte(body), &in)
		if e, ok := hoist.AsError(err); err != nil && (!ok || e.Status != 400 && e.Status != 422) {
			t.Fatal(err)
		}
		if err == nil && (strings.ContainsRune(in.Name, 0) || !utf8.ValidString(in.Name)) {
			t.Fatalf("%q", in.Name)
		}
	})
}

func FuzzPasswordHash(f *testing.F) {
	f.Add(encodeHash("correct horse", make([]byte, 16)))
	f.Add("$argon2id$v=19$m=0,t=0,p=0$$")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$" + strings.Repeat("YWJj", 8))
	f.Add("plain")
	f.Fuzz(func(t *testing.T, hash string) {
		if len(hash) > 200 || strings.Contains(hash, "m=") && !strings.Contains(hash, "m=8,") {
			t.Skip() // costly by design
		}
		if checkPassword(hash, "an empty guess") {
			t.Fatal(hash)
		}
	})
}

func FuzzSSHKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVzgcYnGQFKxRGxSPqRyzJqkGAxC4xe9y0dUuNAQyYt me@laptop\n")
	f.Add("command=\"x\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVzgcYnGQFKxRGxSPqRyzJqkGAxC4xe9y0dUuNAQyYt")
	f.Add("ssh-rsa AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			if e, ok := hoist.AsError(err); !ok || e.Status != 422 {
				t.Fatal(err)
			}
			return
		}
		// What is kept is a key and no more: no option, no second one.
		again, err := ParseKey(k.PublicKey)
		if err != nil || again.PublicKey != k.PublicKey || again.Fingerprint != k.Fingerprint || strings.ContainsAny(k.PublicKey, "\r\n") {
			t.Errorf("%q became %q, %v", text, k.PublicKey, err)
		}
	})
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"www.example.com", "*.example.com", "EXAMPLE.com.", "a..b", "-a.com", "x.1", "localhost", "a.b\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if hostname.MatchString(name) && (strings.Contains(name, "..") || strings.ContainsAny(name, " /:@\r\n\x00") || strings.LastIndex(name, "*") > 0) {
			t.Error(name)
		}
	})
}

func TestAPasswordFitsItsHashOnly(t *testing.T) {
	hash, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || !checkPassword(hash, "correct horse") || checkPassword(hash, "Correct horse") || checkPassword("", "") {
		t.Error(hash)
	}
	// Nobody has a password, and finding that out costs the same.
	if salt, _, _ := strings.Cut(hash[len("$argon2id$v=19$m=19456,t=2,p=1$"):], "$"); len(nobodysHash) != len(hash) || !strings.HasPrefix(nobodysHash, hash[:strings.Index(hash, salt)]) || checkPassword(nobodysHash, "") {
		t.Error(nobodysHash)
	}
}

func TestConfigChangesSayWhatTheyDo(t *testing.T) {
	value := func(s string) *string { return &s }
	for _, c := range []struct {
		changes map[string]*string
		want    string
	}{
		{map[string]*string{"NEW": value("1")}, "Config add NEW"},
		{map[string]*string{"OLD": nil}, "Config remove OLD"},
		{map[string]*string{"B": value("1"), "A": value("1"), "OLD": nil, "NONE": nil}, "Config add A, B; remove OLD"},
		{map[string]*string{"OLD": value("same"), "NONE": nil}, ""},
	} {
		got, err := changeConfig(hoist.ConfigVars{"OLD": "same"}, c.changes)
		if err != nil || got != c.want {
			t.Errorf("%q, %v; want %q", got, err, c.want)
		}
	}
}

func TestDeploysAreNamedAfterTheCommit(t *testing.T) {
	for version, want := range map[string]string{
		"de63889c20a96347679af2c5160c390727fa6749": "Deploy de63889", "v1.2.3": "Deploy v1.2.3", "": "Deploy 0123456",
	} {
		if got := deployDescription(version, "01234567-89ab-cdef-0123-456789abcdef"); got != want {
			t.Error(got)
		}
	}
}
