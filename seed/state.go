package seed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/socket"
)

// state is what the seed makes once and keeps: secrets, and the ports of the
// ground, so that an environment printed yesterday is still right.
type state struct {
	PostgresPassword string            `json:"postgres_password"`
	PostgresPort     int               `json:"postgres_port"`
	NATSPort         int               `json:"nats_port"`
	BlobPort         int               `json:"blob_port"`
	Secrets          map[string]string `json:"secrets"` // by component, and of the seed
}

// secret is a component's secret for one part of the ground; knowing one does
// not give away another.
func (s *state) secret(component, of string) string { return s.Secrets[component+"/"+of] }

// loadState reads the state file and adds what is missing. ours reports whether who
// has a port is of this platform.
func loadState(path string, ours func(port int) bool) (*state, error) {
	s := &state{}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, s); err != nil {
			return nil, fmt.Errorf("%s is damaged (%w); it holds the platform's secrets: bring it back from a backup", path, err)
		}
	}
	if s.PostgresPassword == "" {
		s.PostgresPassword = hoist.NewSecret()
	}
	if s.Secrets == nil {
		s.Secrets = map[string]string{}
	}
	for _, c := range append([]string{nats.ComponentSeed}, hoist.Components...) {
		for _, of := range []string{"database", "bus", "blobs"} {
			if s.secret(c, of) == "" {
				s.Secrets[c+"/"+of] = hoist.NewSecret()
			}
		}
	}
	for _, port := range []*int{&s.PostgresPort, &s.NATSPort, &s.BlobPort} {
		if *port != 0 && ours(*port) {
			continue
		}
		if err := keepPort(port); err != nil {
			return nil, err
		}
	}
	return s, s.save(path)
}

// keepPort changes a loopback port if there is none yet, or if somebody else
// took it meanwhile.
func keepPort(port *int) error {
	if *port != 0 {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port))); err == nil {
			return l.Close()
		}
	}
	free, err := socket.FreePort()
	*port = free
	return err
}

func (s *state) save(path string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'), 0o600)
}

// writeFile replaces a file at once and for good.
func writeFile(path string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return hoist.SyncDir(filepath.Dir(path))
}
