package seed

import (
	"slices"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/circles"
)

// releaseNeeds are what makes a release of the platform's own app, which is no process that could say so.
var releaseNeeds = []hoist.Need{
	{On: hoist.ComponentGit, For: "takes its source"},
	{On: hoist.ComponentCompile, For: "builds its slug"},
	{On: hoist.ComponentRuntime, For: "runs its build"},
	{On: hoist.ComponentAPI, For: "makes it"},
	{On: hoist.NeedDatabase, For: "holds its row and its config"},
	{On: hoist.NeedBlobs, For: "holds its slug"},
}

// withoutRelease is how a component is there without the release that is its code.
const withoutRelease = "the seed starts the last good slug from a local file, or does its work itself (rescue)"

// Parts is what Edges is told of a platform.
type Parts struct {
	Own      []hoist.Need            // what the seed itself uses
	Ground   []string                // parts of the ground that the seed runs: postgres, nats, blobs
	Needs    map[string][]hoist.Need // what components say of themselves
	Inside   []string                // components that the seed can run itself
	AsDynos  []string                // components that dynos of the platform's own app do
	HasSlugs bool                    // there is such an app
}

// Edges are what the parts of a platform need: what each process, the seed too, says of what it was
// given, and what the seed does for each.
func Edges(r Parts) (edges []circles.Edge) {
	seen := map[circles.Edge]bool{}
	add := func(from string, needs ...hoist.Need) {
		for _, n := range needs {
			e := circles.Edge{From: from, To: clean(n.On), For: clean(n.For), Cut: clean(n.Without)}
			if !seen[e] {
				seen[e] = true
				edges = append(edges, e)
			}
		}
	}
	add(hoist.NeedSeed, r.Own...)
	for _, name := range r.Ground {
		add(groundNames[name], hoist.Need{On: hoist.NeedSeed, For: "runs it"})
	}
	if r.HasSlugs {
		add(hoist.NeedRelease, releaseNeeds...)
	}
	for _, c := range hoist.Components {
		add(c, r.Needs[c]...)
		if slices.Contains(r.AsDynos, c) {
			add(c, hoist.Need{On: hoist.NeedRelease, For: "its code", Without: withoutRelease})
		}
		if slices.Contains(r.Inside, c) {
			add(c, hoist.Need{On: hoist.NeedSeed, For: "starts it"})
		}
	}
	return edges
}

// parts are what runs now.
func (s *Seed) parts() Parts {
	r := Parts{Own: s.needs, Needs: map[string][]hoist.Need{}, Inside: s.cfg.Components}
	for _, t := range s.ground {
		if t.name != "nats" || s.cfg.NATSURL == "" { // else it is somebody else's
			r.Ground = append(r.Ground, t.name)
		}
	}
	if st := s.system.status(); st != nil {
		for _, d := range st.Dynos {
			r.HasSlugs = true
			r.AsDynos = append(r.AsDynos, typeOf(d.Name))
		}
	}
	for _, c := range hoist.Components {
		for _, report := range s.cfg.reports(c, time.Now()) {
			r.Needs[c] = append(r.Needs[c], report.Needs...)
		}
	}
	return r
}

// groundNames are what the parts of the ground are called by those who need them.
var groundNames = map[string]string{"postgres": hoist.NeedDatabase, "nats": hoist.NeedBus, "blobs": hoist.NeedBlobs}

// Circles are the circles in what the running parts need of each other.
type Circles struct {
	Edges   []circles.Edge   `json:"edges"`
	Circles []circles.Circle `json:"circles"`
	Silent  []string         `json:"silent"` // components of which no process reports
}

func (s *Seed) circles() Circles {
	c := Circles{Edges: Edges(s.parts()), Silent: []string{}}
	c.Circles = circles.Find(c.Edges)
	for _, name := range hoist.Components {
		if len(s.cfg.reports(name, time.Now())) == 0 {
			c.Silent = append(c.Silent, name)
		}
	}
	return c
}
