package seed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/BurntSushi/toml"
)

// restoredName is the file in the data directory with the settings of the
// platform that was restored there. It goes before the defaults and behind
// everything else.
const restoredName = "restored.toml"

// Names of a certificate of somebody else's in a backup.
const (
	restoredCert    = "tls-cert.pem"
	restoredCertKey = "tls-key.pem"
)

// keptFiles are the files that make the platform the same one on another
// machine. The secrets of the ground are not among them: they are made anew.
var keptFiles = map[string]os.FileMode{
	"ca.pem": 0o644, "ca-key.pem": 0o600, "cert.pem": 0o644, "cert-key.pem": 0o600,
	"ssh_host_ed25519_key": 0o600, "ssh_host_ed25519_key.pub": 0o644,
	"bootstrap.json": 0o600, restoredName: 0o600, restoredCert: 0o644, restoredCertKey: 0o600,
}

// keptSettings are those that are not the machine's.
type keptSettings struct {
	Domain   string            `toml:"domain"`
	Secure   bool              `toml:"secure"`
	TLSCert  string            `toml:"tls_cert,omitempty"` // beside this file
	TLSKey   string            `toml:"tls_key,omitempty"`
	BuildEnv map[string]string `toml:"build_env"`
	Tuning   map[string]string `toml:"tuning"`
}

// KeptFiles reads what a backup must have of a data directory beside the
// database and the blobs, by name.
func KeptFiles(s Settings) (map[string][]byte, error) {
	paths := map[string]string{}
	for name := range keptFiles {
		paths[name] = s.file(name)
	}
	kept := keptSettings{Domain: s.Domain, Secure: s.Secure, BuildEnv: s.BuildEnv, Tuning: maps.Clone(s.Tuning)}
	delete(kept.Tuning, "HOIST_MEMORY") // the machine's
	delete(paths, restoredCert)
	delete(paths, restoredCertKey)
	if s.TLSCert != "" {
		paths[restoredCert], paths[restoredCertKey] = s.TLSCert, s.TLSKey
		kept.TLSCert, kept.TLSKey = restoredCert, restoredCertKey
	}
	files := map[string][]byte{}
	for name, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	var text bytes.Buffer
	text.WriteString("# Settings of the platform that was restored here. A flag, the environment and the\n# settings file go before these; this file may be changed or removed.\n")
	if err := toml.NewEncoder(&text).Encode(kept); err != nil {
		return nil, err
	}
	files[restoredName] = text.Bytes()
	return files, nil
}

// saveKept writes a file of a backup.
func (s *Settings) saveKept(name string, content []byte) error {
	mode, ok := keptFiles[name]
	if !ok {
		return fmt.Errorf("the backup has a file %q that this program does not know; a newer hoist may", name)
	}
	return writeFile(s.file(name), content, mode)
}

// restored reads the settings of a platform that was restored in a data
// directory, if one was, over the defaults.
func restored(dir string) (s Settings, err error) {
	s = Defaults()
	text, err := os.ReadFile((&Settings{DataDir: dir}).file(restoredName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return s, nil // who may not read it cannot start the seed either
	}
	if err != nil {
		return s, err
	}
	kept := keptSettings{Domain: s.Domain, BuildEnv: s.BuildEnv, Tuning: s.Tuning}
	meta, err := toml.Decode(string(text), &kept)
	if err == nil && len(meta.Undecoded()) > 0 {
		err = fmt.Errorf("there is no setting %q", meta.Undecoded()[0])
	}
	if err != nil {
		return s, fmt.Errorf("%s in %s: %w", restoredName, dir, err)
	}
	s.Domain, s.Secure, s.BuildEnv, s.Tuning = kept.Domain, kept.Secure, kept.BuildEnv, kept.Tuning
	if kept.TLSCert != "" {
		at := Settings{DataDir: dir}
		s.TLSCert, s.TLSKey = at.file(kept.TLSCert), at.file(kept.TLSKey)
	}
	return s, nil
}
