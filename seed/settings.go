package seed

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/hoist-sh/hoist"
)

// DefaultConfig is where the settings are if no other file is named.
const DefaultConfig = "/etc/hoist/hoist.toml"

// DefaultDir is the data directory if no other is chosen.
const DefaultDir = "/var/lib/hoist"

// Settings of a seed; hoist.example.toml says what each means. A flag goes
// before the environment, that before the file, and that before the default.
type Settings struct {
	DataDir        string            `toml:"data_dir"`
	Domain         string            `toml:"domain"`
	Listen         string            `toml:"listen"`
	HTTPPort       int               `toml:"http_port"`
	HTTPSPort      int               `toml:"https_port"`
	SSHPort        int               `toml:"ssh_port"`
	RendezvousPort int               `toml:"rendezvous_port"`
	Secure         bool              `toml:"secure"`
	TLSCert        string            `toml:"tls_cert"`
	TLSKey         string            `toml:"tls_key"`
	DatabaseURL    string            `toml:"database_url"`
	NATSURL        string            `toml:"nats_url"`
	BlobURL        string            `toml:"blob_url"`
	Network        string            `toml:"network"`
	OCIRuntime     string            `toml:"oci_runtime"`
	Components     []string          `toml:"components"`
	BuildEnv       map[string]string `toml:"build_env"`
	Tuning         map[string]string `toml:"tuning"`
	// Given are those that came from flags and the environment, as NAME=value. The next seed on the data
	// directory gets them, too, unless it is given others.
	Given []string `toml:"-"`
}

// Defaults are the settings of a seed nobody said anything to.
func Defaults() Settings {
	return Settings{
		DataDir: DefaultDir, Domain: "localhost",
		HTTPPort: 8080, HTTPSPort: 8443, SSHPort: 2222, RendezvousPort: 5000,
		Network: "10.213.0.0/16", OCIRuntime: "crun",
		Components: slices.Clone(hoist.Components), BuildEnv: map[string]string{}, Tuning: map[string]string{},
	}
}

// tuneProof is how long a new dyno of the platform, and then the whole, may take to prove
// itself; the seed's own.
const tuneProof = "HOIST_PROOF_LIMIT"

// tunes reports whether a variable is a component's own, which the seed only
// passes on, or a detail of the seed's: limits and times, never secrets.
func tunes(name string) bool {
	switch name {
	case "HOIST_BOOT_TIMEOUT", "HOIST_STOP_GRACE", "HOIST_DRAIN", "HOIST_DRAIN_MOVED", "HOIST_DRAIN_LIMIT", "HOIST_DRAIN_ON_STOP", "HOIST_MEMORY", "HOIST_SPARES",
		"HOIST_CONCURRENCY", "HOIST_BUILD_SIZE", "HOIST_BUILD_TIMEOUT", tuneProof:
		return true
	}
	return strings.HasPrefix(name, "HOIST_ROUTER_")
}

const buildEnvPrefix = "HOIST_BUILD_ENV_"

// IsSetting reports whether an environment variable is a setting of the seed,
// or one that it passes on.
func IsSetting(name string) bool {
	var s Settings
	return tunes(name) || strings.HasPrefix(name, buildEnvPrefix) ||
		slices.ContainsFunc(s.Options(), func(o Setting) bool { return o.Env == name })
}

// Setting is one setting that can be given as a flag or in the environment.
type Setting struct {
	Flag  string // without the dashes
	Env   string
	Usage string
	Set   func(string) error
	Value string // the default
}

// Options lists the settings, bound to s.
func (s *Settings) Options() []Setting {
	str := func(p *string) func(string) error { return func(v string) error { *p = v; return nil } }
	port := func(p *int) func(string) error {
		return func(v string) (err error) {
			if *p, err = strconv.Atoi(v); err != nil {
				return fmt.Errorf("%q is not a port", v)
			}
			return nil
		}
	}
	d := Defaults()
	return []Setting{
		{"data", "HOIST_DATA", "directory of all data", str(&s.DataDir), d.DataDir},
		{"domain", "HOIST_DOMAIN", "apps are NAME.DOMAIN", str(&s.Domain), d.Domain},
		{"listen", "HOIST_LISTEN", "address of the public ports; default all, or 127.0.0.1 for localhost", str(&s.Listen), ""},
		{"http-port", "HOIST_HTTP_PORT", "port for HTTP", port(&s.HTTPPort), strconv.Itoa(d.HTTPPort)},
		{"https-port", "HOIST_HTTPS_PORT", "port for HTTPS", port(&s.HTTPSPort), strconv.Itoa(d.HTTPSPort)},
		{"ssh-port", "HOIST_SSH_PORT", "port for git over SSH", port(&s.SSHPort), strconv.Itoa(d.SSHPort)},
		{"rendezvous-port", "HOIST_RENDEZVOUS_PORT", "port for attached dynos", port(&s.RendezvousPort), strconv.Itoa(d.RendezvousPort)},
		{"secure", "HOIST_SECURE", "URLs shown to people are https: true or false", func(v string) (err error) {
			s.Secure, err = strconv.ParseBool(v)
			return err
		}, "false"},
		{"tls-cert", "HOIST_TLS_CERT", "certificate (PEM file) instead of one of our own", str(&s.TLSCert), ""},
		{"tls-key", "HOIST_TLS_KEY", "its key (PEM file)", str(&s.TLSKey), ""},
		{"database-url", "DATABASE_URL", "Postgres to use instead of our own", str(&s.DatabaseURL), ""},
		{"nats-url", "NATS_URL", "NATS with JetStream to use instead of our own", str(&s.NATSURL), ""},
		{"blob-url", "BLOB_URL", "S3 to use instead of our own blob store", str(&s.BlobURL), ""},
		{"network", "HOIST_NETWORK", "the dynos' addresses", str(&s.Network), d.Network},
		{"oci-runtime", "HOIST_OCI_RUNTIME", "crun or runc", str(&s.OCIRuntime), d.OCIRuntime},
		{"components", "HOIST_COMPONENTS", "components to run, separated by commas", s.setComponents, strings.Join(d.Components, ",")},
	}
}

func (s *Settings) setComponents(v string) error {
	s.Components = []string{}
	for c := range strings.SplitSeq(v, ",") {
		if c = strings.TrimSpace(c); c != "" {
			s.Components = append(s.Components, c)
		}
	}
	return nil
}

// Load reads the settings: flags are those given, by name; without are
// components to leave out. path is a file that must exist, or "" for
// DefaultConfig if it does. A platform that was restored in the data directory
// has its own defaults, and one that ran there was given some; an empty variable takes that back.
func Load(path string, environ []string, flags map[string]string, without []string) (Settings, error) {
	s, err := load(Defaults(), path, environ, flags, without) // for the data directory
	if err != nil {
		return s, err
	}
	own, err := restored(s.DataDir)
	if err != nil {
		return s, err
	}
	if s, err = load(own, path, append(givenBefore(s.DataDir), environ...), flags, without); err != nil {
		return s, err
	}
	return s, s.check()
}

func load(s Settings, path string, environ []string, flags map[string]string, without []string) (Settings, error) {
	if err := s.readFile(path); err != nil {
		return s, err
	}
	env, given := map[string]string{}, map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
		if IsSetting(name) {
			given[name] = value
		}
		if rest, ok := strings.CutPrefix(name, buildEnvPrefix); ok && rest != "" {
			s.BuildEnv[rest] = value
		}
		if tunes(name) {
			s.Tuning[name] = value
		}
	}
	for _, o := range s.Options() {
		if v := env[o.Env]; v != "" {
			if err := o.Set(v); err != nil {
				return s, fmt.Errorf("%s: %w", o.Env, err)
			}
		}
		if v, ok := flags[o.Flag]; ok {
			if err := o.Set(v); err != nil {
				return s, fmt.Errorf("--%s: %w", o.Flag, err)
			}
			given[o.Env] = v
		}
	}
	delete(given, "HOIST_DATA")
	s.Given = nil
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] != "" {
			s.Given = append(s.Given, name+"="+given[name])
		}
	}
	for _, c := range without {
		if !slices.Contains(hoist.Components, c) {
			return s, fmt.Errorf("--without: %q is not a component; there are %s", c, strings.Join(hoist.Components, ", "))
		}
		s.Components = slices.DeleteFunc(s.Components, func(other string) bool { return other == c })
	}
	var err error
	s.DataDir, err = filepath.Abs(s.DataDir)
	return s, err
}

func (s *Settings) readFile(path string) error {
	meta, err := toml.DecodeFile(cmp.Or(path, DefaultConfig), s)
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("settings %s: %w", cmp.Or(path, DefaultConfig), err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("settings %s: there is no setting %q; hoist.example.toml lists them", cmp.Or(path, DefaultConfig), unknown[0])
	}
	return nil
}

func (s *Settings) check() error {
	if s.Domain == "" || strings.ContainsAny(s.Domain, "/: ") {
		return fmt.Errorf("domain: %q is not a host name", s.Domain)
	}
	if s.Listen == "" && (s.Domain == "localhost" || strings.HasSuffix(s.Domain, ".localhost")) {
		s.Listen = "127.0.0.1" // nobody else could use it anyway
	}
	if s.Listen != "" && net.ParseIP(s.Listen) == nil {
		return fmt.Errorf("listen: %q is not an IP address", s.Listen)
	}
	used := map[int]string{}
	for _, p := range s.ports() {
		if p.port < 1 || p.port > 65535 {
			return fmt.Errorf("%s: %d is not a port", p.setting, p.port)
		}
		if other := used[p.port]; other != "" {
			return fmt.Errorf("%s and %s are both %d", other, p.setting, p.port)
		}
		used[p.port] = p.setting
	}
	if prefix, err := netip.ParsePrefix(s.Network); err != nil || !prefix.Addr().Is4() || prefix.Bits() > 30 {
		return fmt.Errorf("network: %q is not a network such as 10.213.0.0/16", s.Network)
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("tls_cert and tls_key belong together")
	}
	for name := range s.Tuning {
		if !tunes(name) {
			return fmt.Errorf("tuning: no component has a setting %q", name)
		}
	}
	if v := s.Tuning[tuneProof]; v != "" {
		if limit, err := time.ParseDuration(v); err != nil || limit <= 0 {
			return fmt.Errorf("%s: %q is not a duration such as 60s", tuneProof, v)
		}
	}
	for _, c := range s.Components {
		if !slices.Contains(hoist.Components, c) {
			return fmt.Errorf("components: %q is not one; there are %s", c, strings.Join(hoist.Components, ", "))
		}
	}
	return nil
}

// publicPort is one of the ports that the seed holds open.
type publicPort struct {
	socket  string // its name among LISTEN_FDNAMES
	setting string
	port    int
}

func (s *Settings) ports() []publicPort {
	return []publicPort{
		{"http", "http_port", s.HTTPPort},
		{"https", "https_port", s.HTTPSPort},
		{"ssh", "ssh_port", s.SSHPort},
		{"rendezvous", "rendezvous_port", s.RendezvousPort},
	}
}

// Name keeps what several seeds on one machine make there apart.
func (s *Settings) Name() string {
	if s.DataDir == DefaultDir {
		return "hoist"
	}
	sum := sha256.Sum256([]byte(s.DataDir))
	return "hoist-" + hex.EncodeToString(sum[:4])
}

// Public is how the platform is reached.
func (s *Settings) Public() hoist.Public {
	return hoist.Public{Domain: s.Domain, HTTP: s.HTTPPort, HTTPS: s.HTTPSPort, SSH: s.SSHPort,
		Rendezvous: s.RendezvousPort, Secure: s.Secure}
}

// dynoNetwork is the part of the network for the dynos of this machine: a
// worker takes a /18 at most.
func (s *Settings) dynoNetwork() netip.Prefix {
	whole := netip.MustParsePrefix(s.Network)
	return netip.PrefixFrom(whole.Addr(), max(whole.Bits(), 18)).Masked()
}

// workers is how many places there are for runtimes beside the seed's own: enough for an upgrade of hoist.MaxRuntimes, one to
// spare, and the last, which is that of the platform's own dynos.
const workers = 8

// insideNetwork and workerNetwork part the machine's network: one half is that
// of the runtime inside the seed, the other the runtime dynos' (slot 1 to 8).
func (s *Settings) insideNetwork() netip.Prefix {
	whole := s.dynoNetwork()
	if whole.Bits() > 26 {
		return whole // too small for more workers
	}
	return netip.PrefixFrom(whole.Addr(), whole.Bits()+1)
}

func (s *Settings) workerNetwork(slot int) (netip.Prefix, error) {
	whole := s.dynoNetwork()
	if whole.Bits() > 26 || slot < 1 || slot > workers {
		return netip.Prefix{}, fmt.Errorf("network: %s has no room for runtime %d; want a /26 or larger, and %d runtimes at most", whole, slot, workers)
	}
	at := binary.BigEndian.Uint32(whole.Addr().AsSlice()) | uint32(workers+slot-1)<<(32-whole.Bits()-4)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, at))), whole.Bits()+4), nil
}

// Local is the address at which the machine itself reaches its public ports.
func (s *Settings) Local() string {
	if ip := net.ParseIP(s.Listen); ip == nil || ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return s.Listen
}

// gateway is the host's own address, as the dynos see it.
func (s *Settings) gateway() netip.Addr { return s.dynoNetwork().Addr().Next() }

func (s *Settings) file(name string) string { return filepath.Join(s.DataDir, name) }

// makeDir makes the data directory. Others may pass through it, to Postgres'.
func (s *Settings) makeDir() error {
	if err := os.MkdirAll(s.DataDir, 0o711); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return os.Chmod(s.DataDir, 0o711)
}

// proofLimit is how long a proof may take, in time in which the ground is there.
func (s *Settings) proofLimit() time.Duration {
	limit, _ := time.ParseDuration(s.Tuning[tuneProof])
	return cmp.Or(limit, time.Minute)
}
