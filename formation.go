package hoist

import (
	"maps"
	"slices"
)

// Deployed is the formation after a slug with the given process types (type:
// command) was released: commands follow the slug, types that left it are
// gone, new ones come with no dynos, except that the first deploy of an app
// starts one web dyno. Rows kept have their ID, new ones have none.
func Deployed(formation []ProcessType, types map[string]string, first bool) []ProcessType {
	var next []ProcessType
	for _, name := range slices.Sorted(maps.Keys(types)) {
		p := ProcessType{Type: name, Size: DefaultSize}
		if i := slices.IndexFunc(formation, func(p ProcessType) bool { return p.Type == name }); i >= 0 {
			p = formation[i]
		} else if first && name == "web" {
			p.Quantity = 1
		}
		p.Command = types[name]
		next = append(next, p)
	}
	return next
}
