package seed

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

var errNoApp = hoist.Invalid("The platform does not run on itself yet (stage 0): the seed does everything by itself. `hoist bootstrap` changes that.")

// rescue has the seed do a component's work until it is told to give it back, whatever
// the formation says; its dynos end when the seed does the work.
func (y *system) rescue(component string, back bool) error {
	if !slices.Contains(hoist.Components, component) {
		return hoist.Invalid("%q is not a component; there are %s.", component, strings.Join(hoist.Components, ", "))
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	_, rescued := y.state.Rescued[component]
	switch {
	case back && !rescued:
		return hoist.Invalid("%s is not being rescued.", component)
	case !back && y.inside(component) == nil:
		return hoist.Invalid("This seed was started without %s. Start it with that to have it do the work.", component)
	case !back && y.state.wanted() == nil:
		return errNoApp
	case back:
		delete(y.state.Rescued, component)
		y.provenAt[component] = time.Now() // time for the dynos to start
	case !rescued:
		if y.state.Rescued == nil {
			y.state.Rescued = map[string]time.Time{}
		}
		y.state.Rescued[component] = time.Now()
	}
	y.log.Warn("rescue", "component", component, "back", back)
	clear(y.crashes)
	clear(y.startAt)
	y.write()
	y.wake()
	return nil
}

// rescued is what shall run of a component when that may be rescued: nothing then.
func (s *systemState) rescued(component string, p process) process {
	if _, ok := s.Rescued[component]; ok {
		p.Quantity = 0
	}
	return p
}

// outOfBand adds to the status what people did past the API.
func (y *system) outOfBand(st *SystemStatus) {
	st.Cannot = maps.Clone(y.cannot)
	st.Rescued = slices.Sorted(maps.Keys(y.state.Rescued))
	if y.state.Override != nil {
		st.Override = y.state.Override.text()
	}
}
