package seed_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hoist-sh/hoist/seed"
)

func TestFlagsGoBeforeEnvironmentBeforeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hoist.toml")
	text := "http_port = 1\nhttps_port = 2\nssh_port = 3\ndomain = 'paas.example'\n[build_env]\nGOPROXY = 'file'\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := seed.Load(file, []string{"HOIST_DATA=" + t.TempDir(), "HOIST_HTTPS_PORT=20", "HOIST_SSH_PORT=30", "HOIST_BUILD_ENV_GOPROXY=env", "HOIST_STOP_GRACE=5s"},
		map[string]string{"ssh-port": "300"}, []string{"compile"})
	if err != nil {
		t.Fatal(err)
	}
	if s.HTTPPort != 1 || s.HTTPSPort != 20 || s.SSHPort != 300 || s.RendezvousPort != 5000 || s.Domain != "paas.example" ||
		s.BuildEnv["GOPROXY"] != "env" || s.Tuning["HOIST_STOP_GRACE"] != "5s" || s.Listen != "" ||
		strings.Join(s.Components, ",") != "git,api,runtime,router,logs" {
		t.Errorf("%+v", s)
	}
}

// A person who restarts a seed need not remember with which flags it was started.
func TestWhatASeedWasGivenIsGivenToTheNext(t *testing.T) {
	dir := t.TempDir()
	first, err := seed.Load("", []string{"HOIST_DATA=" + dir, "HOIST_HTTP_PORT=81", "HOIST_BUILD_ENV_GOPROXY=env", "LANG=C"},
		map[string]string{"domain": "paas.example", "ssh-port": "23"}, []string{"compile"})
	if err != nil {
		t.Fatal(err)
	}
	first.DataDir = "/moved/since"
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := seed.Load("", []string{"HOIST_SSH_PORT=24", "HOIST_DOMAIN="}, map[string]string{"data": dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.DataDir != dir || s.HTTPPort != 81 || s.SSHPort != 24 || s.Domain != "localhost" || s.BuildEnv["GOPROXY"] != "env" || len(s.Components) != 6 {
		t.Errorf("%+v", s)
	}
	want := []string{"HOIST_BUILD_ENV_GOPROXY=env", "HOIST_HTTP_PORT=81", "HOIST_SSH_PORT=24"}
	if !slices.Equal(s.Given, want) {
		t.Errorf("given %q", s.Given)
	}
	if saved, err := seed.Saved(dir); err != nil || saved.DataDir != dir || saved.SSHPort != 23 {
		t.Errorf("%+v, %v", saved, err)
	}
}

// Settings are judged together with those that are remembered.
func TestASettingMayGoWithARememberedOne(t *testing.T) {
	dir := t.TempDir()
	first, err := seed.Load("", []string{"HOIST_DATA=" + dir}, map[string]string{"http-port": "80", "tls-cert": "a.pem", "tls-key": "key.pem"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for flag, value := range map[string]string{"https-port": "8080", "tls-cert": "b.pem"} { // 8080 is the default of HTTP
		if _, err := seed.Load("", nil, map[string]string{"data": dir, flag: value}, nil); err != nil {
			t.Errorf("--%s: %v", flag, err)
		}
	}
	if _, err := seed.Load("", nil, map[string]string{"data": dir, "https-port": "80"}, nil); err == nil || !strings.Contains(err.Error(), "both 80") {
		t.Errorf("the port that is remembered: %v", err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for env, want := range map[string]string{
		"HOIST_HTTP_PORT=x":         "HOIST_HTTP_PORT",
		"HOIST_HTTP_PORT=70000":     "http_port",
		"HOIST_HTTP_PORT=8443":      "http_port and https_port",
		"HOIST_NETWORK=10.0.0.0":    "network",
		"HOIST_DOMAIN=http://x":     "domain",
		"HOIST_LISTEN=here":         "listen",
		"HOIST_SECURE=perhaps":      "HOIST_SECURE",
		"HOIST_COMPONENTS=api,mail": "mail",
		"HOIST_TLS_CERT=a.pem":      "tls_key",
	} {
		if _, err := seed.Load("", []string{"HOIST_DATA=" + t.TempDir(), env}, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", env, err)
		}
	}
	file := filepath.Join(t.TempDir(), "hoist.toml")
	os.WriteFile(file, []byte("htp_port = 1\n"), 0o600)
	if _, err := seed.Load(file, nil, nil, nil); err == nil || !strings.Contains(err.Error(), "htp_port") {
		t.Error(err)
	}
	if _, err := seed.Load(file+"-none", nil, nil, nil); err == nil {
		t.Error("a file that is named must exist")
	}
}

func TestTheExampleFileIsTrue(t *testing.T) {
	text, err := os.ReadFile("../hoist.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(text), "$1")
	uncommented = regexp.MustCompile(`(?m)^(tls_|database_url|nats_url|blob_url|listen).*$`).ReplaceAllString(uncommented, "")
	file := filepath.Join(t.TempDir(), "hoist.toml")
	if err := os.WriteFile(file, []byte(uncommented), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := seed.Load(file, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := seed.Defaults()
	if s.DataDir != d.DataDir || s.Domain != d.Domain || s.HTTPPort != d.HTTPPort || s.SSHPort != d.SSHPort || s.Network != d.Network ||
		len(s.Components) != len(d.Components) {
		t.Errorf("%+v", s)
	}
}

func FuzzSettingsFile(f *testing.F) {
	f.Add("http_port = 80\n")
	f.Add("components = ['api']\n[build_env]\nA='b'\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "hoist.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		seed.Load(file, nil, nil, nil) // must not panic
	})
}
