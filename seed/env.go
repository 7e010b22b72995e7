package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hoist-sh/hoist"
)

// Environ is the environment of a component, "NAME=value", sorted: all that it
// needs, inside the seed or alone.
func Environ(s Settings, st *state, component string) []string {
	env := map[string]string{
		"DATABASE_URL":          s.databaseURL(st, component),
		"NATS_URL":              s.natsURL(st, component),
		"HOIST_BIND":            "127.0.0.1",
		"HOIST_DIR":             s.file(component),
		"HOIST_DOMAIN":          s.Domain,
		"HOIST_HTTP_PORT":       strconv.Itoa(s.HTTPPort),
		"HOIST_HTTPS_PORT":      strconv.Itoa(s.HTTPSPort),
		"HOIST_SSH_PORT":        strconv.Itoa(s.SSHPort),
		"HOIST_RENDEZVOUS_PORT": strconv.Itoa(s.RendezvousPort),
		"HOIST_SECURE":          strconv.FormatBool(s.Secure),
	}
	maps.Copy(env, s.Tuning)
	switch component {
	case hoist.ComponentAPI, hoist.ComponentCompile, hoist.ComponentGit, hoist.ComponentRuntime:
		env["BLOB_URL"] = s.blobURL(st, component)
	}
	switch component {
	case hoist.ComponentGit:
		env["HOIST_SSH_ADDR"] = s.listenAddr(s.SSHPort)
		env["HOIST_SSH_HOST_KEY"] = s.hostKeyFile()
	case hoist.ComponentRouter:
		env["HOIST_HTTP_ADDR"] = s.listenAddr(s.HTTPPort)
		env["HOIST_HTTPS_ADDR"] = s.listenAddr(s.HTTPSPort)
		env["HOIST_RENDEZVOUS_ADDR"] = s.listenAddr(s.RendezvousPort)
		env["HOIST_TLS_CERT"], env["HOIST_TLS_KEY"] = s.certFile()
	case hoist.ComponentRuntime:
		env["HOIST_BLOB_GATE"] = s.blobGate(st)
		for _, kv := range s.RuntimeEnviron() {
			name, value, _ := strings.Cut(kv, "=")
			env[name] = value
		}
	case hoist.ComponentCompile:
		for name, value := range s.BuildEnv {
			env[buildEnvPrefix+name] = value
		}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// EnvironOf is the environment of a component of the seed that runs, or ran
// last, on a data directory.
func EnvironOf(dir, component string) ([]string, error) {
	if !slices.Contains(everybody, component) {
		return nil, fmt.Errorf("%q is not a component; there are %s", component, strings.Join(everybody, ", "))
	}
	s, st, err := savedState(dir)
	if err != nil {
		return nil, err
	}
	return Environ(s, st, component), nil
}

// OwnerURL is the database as its owner, who may do everything.
func OwnerURL(s Settings) (string, error) {
	if s.DatabaseURL != "" {
		return s.DatabaseURL, nil
	}
	_, st, err := savedState(s.DataDir)
	if err != nil {
		return "", err
	}
	return s.postgres(st).URL(), nil
}

func savedState(dir string) (Settings, *state, error) {
	s, err := Saved(dir)
	if err != nil {
		return s, nil, err
	}
	text, err := os.ReadFile(s.file("seed.json"))
	if err != nil {
		return s, nil, err
	}
	st := &state{}
	return s, st, json.Unmarshal(text, st)
}

// saveSettings keeps what the seed was started with in its data directory, so that
// later commands need to be told that only.
func saveSettings(s Settings, dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "settings.json"), append(text, '\n'), 0o600)
}

// Saved returns the settings of the seed that runs, or ran last, on a data
// directory.
func Saved(dir string) (Settings, error) {
	s := Settings{DataDir: dir}
	text, err := os.ReadFile(s.file("settings.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("There has been no seed in %s. Another directory is chosen with --data, HOIST_DATA or data_dir in the settings file.", dir)
	case errors.Is(err, fs.ErrPermission):
		return s, fmt.Errorf("%w: this needs root", err)
	case err != nil:
		return s, err
	}
	err = json.Unmarshal(text, &s)
	s.DataDir = dir // it may have been moved, or copied, since
	return s, err
}

// Differing names the settings, as in the file, that s has other than other.
func (s *Settings) Differing(other Settings) (names []string) {
	a, b := reflect.ValueOf(*s), reflect.ValueOf(other)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("toml")
		if name != "-" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, name)
		}
	}
	return names
}

// givenBefore is what the last seed on a data directory was given by flags and in its environment.
func givenBefore(dir string) []string {
	s, err := Saved(dir) // who may not read it cannot start the seed either
	if err != nil {
		return nil
	}
	return s.Given
}

func flagOf(setting string) string { return strings.ReplaceAll(setting, "_", "-") }
func envOf(setting string) string  { return "HOIST_" + strings.ToUpper(setting) }

// RuntimeEnviron is what the runtime's engine is made from; it holds no secret.
func (s *Settings) RuntimeEnviron() []string {
	return []string{
		"HOIST_DIR=" + s.file(hoist.ComponentRuntime),
		"HOIST_ENGINE=" + s.Name(),
		"HOIST_NETWORK=" + s.insideNetwork().String(),
		"HOIST_OCI_RUNTIME=" + s.OCIRuntime,
	}
}

// EngineEnviron lists what the engines of a data directory are made from, those
// whose containers hold others first.
func (s *Settings) EngineEnviron() [][]string {
	network, err := s.workerNetwork(workers)
	if err != nil { // there never were more
		return [][]string{s.RuntimeEnviron()}
	}
	list := [][]string{{"HOIST_DIR=" + s.file("system"), "HOIST_ENGINE=" + s.Name() + "-sys",
		"HOIST_NETWORK=" + network.String(), "HOIST_OCI_RUNTIME=" + s.OCIRuntime}, s.RuntimeEnviron()}
	for slot := 1; slot < workers; slot++ {
		network, _ := s.workerNetwork(slot)
		list = append(list, []string{"HOIST_DIR=" + s.workerDir(slot), "HOIST_ENGINE=" + s.workerName(slot),
			"HOIST_NETWORK=" + network.String(), "HOIST_OCI_RUNTIME=" + s.OCIRuntime})
	}
	return list
}

// Gateway is the machine's own address, as the dynos see it.
func (s *Settings) Gateway() netip.Addr { return s.gateway() }

// DynoNetwork is where the machine's dynos have their addresses.
func (s *Settings) DynoNetwork() netip.Prefix { return s.dynoNetwork() }

// Purge removes everything a seed has in its data directory, and the directory
// if nothing else is in it.
func Purge(s Settings) error {
	held, err := lock(s)
	if err != nil {
		return err
	}
	defer held.Close()
	names := append([]string{"postgres", "nats", "blobs", "seed.sock", unitEnvironment, "seed.log", "seed.log.1",
		"ca.pem", "ca-key.pem", "cert.pem", "cert-key.pem", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub",
		clockMark, "first-account", "proof", "system", "system.json", "bootstrap.json", restoredName, restoredCert, restoredCertKey}, hoist.Components...)
	for slot := range workers {
		names = append(names, filepath.Base(s.workerDir(slot+1)))
	}
	// What a purge that is cut off must know when it is run again comes last.
	for _, name := range append(names, "seed.json", "settings.json", keeperLock, seedLock) {
		if err := os.RemoveAll(s.file(name)); err != nil {
			return err
		}
	}
	os.Remove(s.DataDir) // fails if something else is in it
	return nil
}
