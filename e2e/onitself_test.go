package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// systemStatus is what the tests read of `hoist seed status --json`.
type systemStatus struct {
	PID      int
	Ready    bool
	WaitsFor []string `json:"waits_for"`
	Tasks    []struct {
		Name, State string
		WaitsFor    string `json:"waits_for"`
		Without     string
		By          []string
		PID         int
	}
	System struct {
		Version, Good int
		Settled       bool
		Failed        string
		Override      string
		Dynos         []struct {
			Name, State string
			Version     int
		}
	}
	Notes []string
}

func (p *platform) status() (st systemStatus, err error) {
	out, err := p.hoist("seed", "status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	return st, err
}

// onItself makes a release of the platform's own app from the program under test, and
// waits until the dynos do all the work. It is what a push to itself ends with, without the
// minutes of the build.
func (w *faultWorld) onItself(t *testing.T, mark string) (version int) {
	t.Helper()
	if _, err := w.hoist("seed", "system", w.Email); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "bin"), 0o755)
	os.Chmod(dir, 0o755)
	for _, args := range [][]string{
		{"cp", hoistBin, filepath.Join(dir, "bin/hoist")},
		{"sh", "-c", "echo " + mark + " > " + filepath.Join(dir, "mark")},
		{"mksquashfs", dir, dir + ".squashfs", "-comp", "zstd", "-Xcompression-level", "1", "-all-root", "-no-progress", "-quiet"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	image, err := os.ReadFile(dir + ".squashfs")
	if err != nil {
		t.Fatal(err)
	}
	types, updates := map[string]string{}, []map[string]any{}
	for _, name := range componentNames {
		types[name] = "bin/hoist " + name
		updates = append(updates, map[string]any{"type": name, "quantity": 1})
	}
	var slug struct {
		ID   string
		Blob struct{ URL string }
	}
	body, _ := json.Marshal(map[string]any{"process_types": types, "commit": mark})
	if err := w.call("POST", "/apps/hoist/slugs", w.Token, body, &slug); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("PUT", slug.Blob.URL, bytes.NewReader(image))
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	var release struct{ Version int }
	if err := w.call("POST", "/apps/hoist/releases", w.Token, fmt.Appendf(nil, `{"slug":%q}`, slug.ID), &release); err != nil {
		t.Fatal(err)
	}
	body, _ = json.Marshal(map[string]any{"updates": updates})
	if err := w.call("PATCH", "/apps/hoist/formation", w.Token, body, nil); err != nil {
		t.Fatal(err)
	}
	w.awaitSettled(t, release.Version)
	return release.Version
}

// awaitSettled waits until dynos of a release of the platform do all its work.
func (w *faultWorld) awaitSettled(t *testing.T, version int) {
	t.Helper()
	begun := time.Now()
	if err := eventually(3*time.Minute, func() error {
		st, err := w.status()
		if err != nil {
			return err
		}
		if s := st.System; s.Version != version || s.Good != version || !s.Settled || !st.Ready {
			return fmt.Errorf("v%d is not settled: %+v", version, st)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("v%d does all the work after %s", version, time.Since(begun).Round(100*time.Millisecond))
}

// types are the releases that the dynos of the platform are of, by component.
func (st *systemStatus) versions() map[string][]int {
	list := map[string][]int{}
	for _, d := range st.System.Dynos {
		name, _, _ := strings.Cut(d.Name, ".")
		list[name] = append(list[name], d.Version)
	}
	return list
}
