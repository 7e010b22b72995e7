package seed

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

// SystemStatus is how the platform's own app is.
type SystemStatus struct {
	Stage   int                `json:"stage"`            // whose slug shall run, as `hoist bootstrap` noted them; 0 while nothing runs as a dyno
	Beyond  bool               `json:"beyond,omitempty"` // it is none of the stages' slugs; Stage is the last that was reached
	Version int                `json:"version"`          // of the release that shall run
	Commit  string             `json:"commit"`
	Good    int                `json:"good"` // the last that proved itself; 0 for none
	Slug    string             `json:"slug"`
	Failed  string             `json:"failed,omitempty"`  // why the current release was given up
	Because string             `json:"because,omitempty"` // why the seed made the current release, a rollback
	Settled bool               `json:"settled"`           // all runs as it shall
	Seed    int                `json:"seed"`              // the release that the seed's own program is of; 0 for none
	Dynos   []SystemDynoStatus `json:"dynos"`

	Rescued  []string          `json:"rescued,omitempty"`  // components whose work the seed does until `rescue --back`
	Cannot   map[string]string `json:"cannot,omitempty"`   // why dynos of a component could not be started; what the "seed" and the "slug" cannot
	Override string            `json:"override,omitempty"` // a rollback that the database does not know yet
}

// SystemDynoStatus is one dyno of it.
type SystemDynoStatus struct {
	Name    string    `json:"name"`
	State   string    `json:"state"`
	Version int       `json:"version"`
	PID     int       `json:"pid"`
	Since   time.Time `json:"since"`
	Lacks   string    `json:"lacks,omitempty"` // for its proof
}

func (y *system) show(want *desired, settled bool) {
	st := &SystemStatus{Settled: settled, Dynos: []SystemDynoStatus{}}
	for _, c := range []*successor{y.state.SeedBefore, y.state.Seed} {
		if c != nil && c.is(y.seed.cfg.Version) {
			st.Seed = c.Release
		}
	}
	if y.state.Next != nil {
		st.Failed, st.Because = y.state.Failed[y.state.Next.ReleaseID], y.state.Same[y.state.Next.ReleaseID].Why
	}
	if y.state.Good != nil {
		st.Good = y.state.Good.Version
	}
	if want != nil {
		st.Version, st.Commit, st.Slug = want.Version, want.Commit, want.Slug
	}
	y.outOfBand(st)
	for _, d := range y.dynos {
		st.Dynos = append(st.Dynos, SystemDynoStatus{d.Name(), string(d.State), d.Version, d.pid, d.since, d.lacks})
	}
	slices.SortFunc(st.Dynos, func(a, b SystemDynoStatus) int {
		if n := strings.Compare(a.Name, b.Name); n != 0 {
			return n
		}
		return a.Since.Compare(b.Since)
	})
	if len(st.Dynos) > 0 {
		st.Stage, st.Beyond = y.stage(st.Slug)
	}
	y.shown.Store(st)
}

func (y *system) status() *SystemStatus { return y.shown.Load() }

// standsIn is the status of a component whose work dynos do.
func (y *system) standsIn(c TaskStatus) TaskStatus {
	c.State, c.Error = stateWaiting, ""
	c.WaitsFor = "its dynos"
	if st := y.status(); st != nil {
		if why := st.Cannot[c.Name]; why != "" {
			c.WaitsFor += " (" + why + ")"
		}
		for _, d := range st.Dynos {
			if typeOf(d.Name) != c.Name {
				continue
			}
			c.By = append(c.By, fmt.Sprintf("%s (v%d)", d.Name, d.Version))
			switch {
			case d.State == string(hoist.DynoUp):
				c.State, c.WaitsFor = stateUp, ""
			case c.State == stateWaiting && d.Lacks != "":
				c.WaitsFor = "its dynos (" + d.Lacks + ")"
			}
		}
	}
	return c
}

// typeOf is the process type of a dyno, "api" of "api.1".
func typeOf(dyno string) string {
	typ, _, _ := strings.Cut(dyno, ".")
	return typ
}

// Stage is what `hoist bootstrap` notes of a stage that it reached.
type Stage struct {
	Number  int           `json:"number"`
	Release int           `json:"release"` // version
	Build   hoist.ID      `json:"build"`
	Commit  string        `json:"commit"`
	By      string        `json:"by"` // who compiled
	Slug    string        `json:"slug"`
	Size    int64         `json:"size"`
	Binary  string        `json:"binary"` // SHA-256 of bin/hoist in the slug
	Took    time.Duration `json:"took"`

	Compared bool `json:"compared,omitempty"` // of stage 3: it is stage 2, bit for bit
}

// Stages reads them.
func Stages(s Settings) ([]Stage, error) {
	noted, err := noted(s)
	return slices.DeleteFunc(noted, Stage.asked), err
}

// Asked is the stage that was asked for last, if that is not one of Stages yet: who was to compile it then, and
// the newest build that there was before.
func Asked(s Settings) (asked Stage, ok bool) {
	noted, err := noted(s)
	i := slices.IndexFunc(noted, Stage.asked)
	if err != nil || i < 0 {
		return asked, false
	}
	return noted[i], true
}

// asked reports whether a stage has not been compiled.
func (s Stage) asked() bool { return s.Slug == "" }

func noted(s Settings) (stages []Stage, err error) {
	text, err := os.ReadFile(s.file("bootstrap.json"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return stages, json.Unmarshal(text, &stages)
}

// SaveStages writes them.
func SaveStages(s Settings, stages []Stage) error {
	text, err := json.MarshalIndent(stages, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.file("bootstrap.json"), append(text, '\n'), 0o600)
}

// stage is the last of those noted that has the slug, as they should all have the same; with
// another one the platform is beyond the last. Without a bootstrap it is at 1: dynos run.
func (y *system) stage(slug string) (number int, beyond bool) {
	stages, err := Stages(y.seed.cfg.Settings)
	if err != nil || len(stages) == 0 {
		return 1, false
	}
	for _, s := range slices.Backward(stages) {
		if s.Slug == slug {
			return s.Number, false
		}
	}
	return stages[len(stages)-1].Number, slug != ""
}
