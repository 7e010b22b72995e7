package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/jackc/pgx/v5/pgconn"
)

// Status is what a seed does, for `hoist seed status`.
type Status struct {
	PID      int               `json:"pid"`
	Version  string            `json:"version"`
	Dir      string            `json:"dir"`
	Since    time.Time         `json:"since"`
	Ready    bool              `json:"ready"`
	Stopping bool              `json:"stopping"`
	WaitsFor []string          `json:"waits_for"`
	Public   hoist.Public      `json:"public"`
	Ports    map[string]string `json:"ports"`
	Local    string            `json:"local"` // where the machine itself reaches them
	Tasks    []TaskStatus      `json:"tasks"`
	// Dynos that have not ended, by state; nil if the database does not answer.
	Dynos map[string]int `json:"dynos"`
	// System is the platform's own app; nil while there is none.
	System *SystemStatus `json:"system,omitempty"`
	// Notes are what a person should know although all may run.
	Notes []string `json:"notes,omitempty"`
}

// TaskStatus is the status of a part of the ground or a component.
type TaskStatus struct {
	Name     string    `json:"name"`
	State    string    `json:"state"` // starting, up, waiting or down
	Since    time.Time `json:"since"`
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	WaitsFor string    `json:"waits_for,omitempty"`
	Without  string    `json:"without,omitempty"`  // what is missing, and how it goes on
	Error    string    `json:"error,omitempty"`    // why it last ended
	By       []string  `json:"by,omitempty"`       // dynos that do its work instead
	Finishes bool      `json:"finishes,omitempty"` // beside them: what it had begun inside the seed
}

func (s *Seed) status(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	running := s.ctx.Err() == nil
	st := Status{Stopping: !running, PID: os.Getpid(), Version: s.cfg.Version, Dir: s.cfg.DataDir, Since: s.started, WaitsFor: []string{},
		Public: s.cfg.Public(), Ports: map[string]string{}, Local: s.cfg.Local()}
	for _, p := range s.cfg.ports() {
		st.Ports[p.socket] = s.cfg.listenAddr(p.port)
		if l := s.sockets[p.socket]; l != nil {
			st.Ports[p.socket] = l.Addr().String()
		}
	}
	for _, t := range s.ground {
		st.add(s.processOf(t.status()))
	}
	registered, err := s.db.Registrations(ctx)
	if err == nil {
		st.Dynos, err = s.db.DynoCounts(ctx)
	}
	if err != nil && len(st.WaitsFor) == 0 {
		st.WaitsFor = append(st.WaitsFor, "the database ("+explain(err)+")")
	}
	for _, t := range s.components {
		c := t.task.status()
		switch {
		case !t.on() || t.isLeaving():
			c = s.system.standsIn(c)
			c.Finishes = !t.idle()
			c.lacks(s.cfg.reports(c.Name, time.Now()))
		case c.State == stateUp:
			c.PID = os.Getpid()
			if err == nil {
				c.waits(registered)
			}
			c.lacks(s.ownReports(c.Name))
		}
		st.add(c)
	}
	st.System = s.system.status()
	st.Notes = s.notes(ctx, st)
	st.Ready = running && len(st.WaitsFor) == 0
	return st
}

func (s *Status) add(t TaskStatus) {
	s.Tasks = append(s.Tasks, t)
	switch {
	case t.State == stateDown:
		s.WaitsFor = append(s.WaitsFor, fmt.Sprintf("%s (%s)", t.Name, t.Error))
	case t.State != stateUp:
		s.WaitsFor = append(s.WaitsFor, t.Name)
	}
}

// waits asks the registry what a running component lacks.
func (t *TaskStatus) waits(registered []postgres.Registration) {
	i := slices.IndexFunc(registered, func(r postgres.Registration) bool { return r.Type == t.Name })
	switch {
	case i < 0:
		t.State, t.WaitsFor = stateWaiting, "the ground"
	case registered[i].WaitsFor != "":
		t.State, t.WaitsFor = stateWaiting, registered[i].WaitsFor
	}
}

// explain shortens what the driver says over several lines.
func explain(err error) string {
	var down *pgconn.ConnectError
	if errors.As(err, &down) {
		return "it does not answer"
	}
	return err.Error()
}

func (s *Settings) socket() string { return s.file("seed.sock") }

// listenControl serves status and stop on a socket that only root may use.
func (s *Seed) listenControl() (io.Closer, error) {
	path := s.cfg.socket()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.status(r.Context()))
	})
	s.outOfBand(mux)
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		s.end()
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l)
	return srv, nil
}

// call speaks to the seed of a data directory.
func call(ctx context.Context, s Settings, method, path string) ([]byte, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://seed"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("%s may be used by root only", s.socket())
		}
		return nil, noSeed(s.DataDir)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return body.Bytes(), err
}

// noSeed says that no seed answers on a data directory.
type noSeed string

func (dir noSeed) Error() string {
	return fmt.Sprintf("No seed runs in %s. `hoist seed --daemon` starts one.", string(dir))
}

// AskStatus asks a running seed how it is.
func AskStatus(ctx context.Context, s Settings) (Status, error) {
	var st Status
	body, err := call(ctx, s, http.MethodGet, "/status")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(body, &st)
}

// Stop ends the seed of a data directory, and its keeper, and returns when they have ended. It is
// no error if none runs.
func Stop(ctx context.Context, s Settings) error {
	if err := endKeeper(ctx, s); err != nil {
		return err
	}
	for asked := (time.Time{}); Running(s); {
		if time.Since(asked) > askAgain {
			_, err := call(ctx, s, http.MethodPost, "/stop")
			var starting noSeed // or it has all but ended
			if err != nil && !errors.As(err, &starting) {
				return err
			}
			if err == nil {
				asked = time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the seed in %s has not ended: %w", s.DataDir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return stopPostgres(ctx, s)
}

// stopPostgres ends what goes on if the seed was killed.
func stopPostgres(ctx context.Context, s Settings) error {
	_, st, err := savedState(s.DataDir)
	if err != nil || s.DatabaseURL != "" {
		return nil // there never was one
	}
	return s.postgres(st).Stop(ctx)
}
