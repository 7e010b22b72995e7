package seed

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
)

// six makes a release of all components.
func (y *system) six(t *testing.T, version int) *desired {
	t.Helper()
	d := y.proven(t, version)
	d.Formation = map[string]process{}
	for _, c := range hoist.Components {
		d.Formation[c] = process{"bin/hoist " + c, 1, "Standard-1X"}
	}
	if err := y.seed.cfg.ensureCerts(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := y.seed.cfg.ensureHostKey(); err != nil {
		t.Fatal(err)
	}
	return d
}

// Each process type has what it needs of the machine and of the ground, and nothing else.
func TestWhatEachDynoIsGiven(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives directories away; needs root")
	}
	y, e := withEngine(t)
	cfg := &y.seed.cfg
	cfg.Domain, cfg.OCIRuntime = "localhost", "crun"
	cfg.BuildEnv, cfg.Tuning = map[string]string{"GOPROXY": "off"}, map[string]string{"HOIST_STOP_GRACE": "9s"}
	y.seed.sockets = map[string]*net.TCPListener{}
	for _, p := range cfg.ports() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		y.seed.sockets[p.socket] = l.(*net.TCPListener)
	}
	for _, c := range append([]string{componentSeed}, hoist.Components...) {
		for _, of := range []string{"database", "bus", "blobs"} {
			y.seed.state.Secrets[c+"/"+of] = c + "-" + of
		}
	}
	y.seed.state.PostgresPassword = "owner's"
	release := y.six(t, 1)
	release.Config = map[string]string{"FOO": "bar", "DATABASE_URL": "postgres://mine"}
	if err := y.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	const all = "DATABASE_URL DYNO FOO HOIST_BIND HOIST_COMPONENT_ID HOIST_DIR HOIST_DOMAIN HOIST_HTTPS_PORT HOIST_HTTP_PORT " +
		"HOIST_RELEASE_VERSION HOIST_RENDEZVOUS_PORT HOIST_SECURE HOIST_SLUG_COMMIT HOIST_SSH_PORT HOIST_STOP_GRACE NATS_URL "
	for i, c := range []struct {
		name, files, more string
		blobs, privileged bool
	}{
		{"git", "ssh", "HOIST_DRAIN HOIST_SSH_ADDR HOIST_SSH_HOST_KEY", true, false},
		{"api", "", "HOIST_DRAIN", true, false},
		{"compile", "", "HOIST_BUILD_ENV_GOPROXY HOIST_DRAIN", true, false},
		{"runtime", "", "HOIST_BLOB_GATE HOIST_DRAIN_LIMIT HOIST_DRAIN_ON_STOP HOIST_ENGINE HOIST_NETWORK HOIST_OCI_RUNTIME", true, true},
		{"router", "http https rendezvous", "HOIST_DRAIN HOIST_HTTPS_ADDR HOIST_HTTP_ADDR HOIST_RENDEZVOUS_ADDR HOIST_TLS_CERT HOIST_TLS_KEY", false, false},
		{"logs", "", "HOIST_DRAIN", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if hoist.Components[i] != c.name {
				t.Fatalf("the components are %v", hoist.Components)
			}
			if _, err := y.start(t.Context(), c.name, 1, release); err != nil {
				t.Fatal(err)
			}
			spec := e.specs[len(e.specs)-1]
			g := spec.Grants
			dir, ids := filepath.Join(cfg.file("system"), c.name), uint32(0x0f00+i)<<16
			if c.privileged {
				dir, ids = cfg.workerDir(1), 0 // the host's
			}
			if g.Privileged != c.privileged || g.IDs != ids || !g.HostNetwork || fmt.Sprint(g.Binds) != fmt.Sprint([]hoist.Bind{{Source: dir, Target: keptIn}}) {
				t.Errorf("it is granted %+v", *g)
			}
			if got := strings.Join(slices.Sorted(slices.Values(e.handed[spec.ID])), " "); got != c.files {
				t.Errorf("it is handed the sockets %q, not %q", got, c.files)
			}
			want := strings.Fields(all + c.more)
			if c.blobs {
				want = append(want, "BLOB_URL")
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(spec.Env)); !slices.Equal(got, want) {
				t.Errorf("its variables are\n%v, not\n%v", got, want)
			}
			for name, user := range map[string]string{"DATABASE_URL": "hoist_" + c.name + ":" + c.name + "-database",
				"NATS_URL": c.name + ":" + c.name + "-bus", "BLOB_URL": c.name + ":" + c.name + "-blobs"} {
				u, err := url.Parse(spec.Env[name])
				if err != nil || spec.Env[name] != "" && u.User.String() != user {
					t.Errorf("%s is %s, not of %s", name, spec.Env[name], user)
				}
			}
			// No secret of another's in whatever place, nor the database owner's or the certificate authority's.
			text := fmt.Sprint(spec)
			for owner := range y.seed.state.Secrets {
				other, of, _ := strings.Cut(owner, "/")
				if other != c.name && strings.Contains(text, ":"+other+"-"+of) {
					t.Errorf("it has the secret of %s for the %s", other, of)
				}
			}
			for _, secret := range []string{"owner", "ca-key"} {
				if strings.Contains(text, secret) {
					t.Errorf("it has the secret %q", secret)
				}
			}
		})
	}
}
