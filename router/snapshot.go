package router

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist"
)

// snapshot is the file with the last good routes, from which a router starts
// when the database is away.
type snapshot struct {
	Version int          `json:"version"`
	Routes  hoist.Routes `json:"routes"`
}

const snapshotVersion = 1

func parseSnapshot(data []byte) (hoist.Routes, error) {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return hoist.Routes{}, err
	}
	if s.Version != snapshotVersion {
		return hoist.Routes{}, fmt.Errorf("version %d is not ours", s.Version)
	}
	for _, r := range s.Routes.Apps {
		for _, d := range r.Dynos {
			if d.Address == "" && d.State != hoist.DynoUp {
				continue
			}
			if _, err := netip.ParseAddrPort(d.Address); err != nil {
				return hoist.Routes{}, fmt.Errorf("app %q, dyno %d: %w", r.Name, d.Number, err)
			}
		}
	}
	for _, svc := range s.Routes.Services {
		if _, err := netip.ParseAddrPort(svc.Address); err != nil {
			return hoist.Routes{}, fmt.Errorf("service %q: %w", svc.Type, err)
		}
	}
	return s.Routes, nil
}

func readSnapshot(path string) (hoist.Routes, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return hoist.Routes{}, err
	}
	routes, err := parseSnapshot(data)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return routes, err
}

// writeSnapshot replaces the file; after a power cut it is the old or the new one.
func writeSnapshot(path string, routes hoist.Routes) error {
	data, err := json.Marshal(snapshot{snapshotVersion, routes})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".routes-*") // several routers may share it
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
