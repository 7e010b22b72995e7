package nats

import (
	"slices"

	"github.com/hoist-sh/hoist"
	"github.com/nats-io/nats-server/v2/server"
)

// ComponentSeed is the user of the seed, which may do everything.
const ComponentSeed = "seed"

// grant is what a component may do on the bus.
type grant struct {
	rings   []string // bells it may ring; everybody may ring BellComponent
	listens []string // bells it may listen for; everybody may listen for BellProven
	appends []string // stream subjects it may append to
	tails   []string // streams it may read
}

var grants = map[string]grant{
	hoist.ComponentAPI: {
		rings:   []string{"bell.>"},
		listens: []string{"bell.>"},
		appends: []string{hoist.StreamLogs + "*", hoist.StreamBuilds + "*"},
		tails:   []string{streamBuilds},
	},
	hoist.ComponentGit: {
		rings:   []string{hoist.BellBuild, hoist.BellBuild + ".*"},
		listens: []string{hoist.BellBuild, hoist.BellBuild + ".*"},
		tails:   []string{streamBuilds},
	},
	hoist.ComponentCompile: {
		rings:   []string{"bell.>"},
		listens: []string{"bell.>"},
		appends: []string{hoist.StreamLogs + "*", hoist.StreamBuilds + "*"},
	},
	hoist.ComponentRuntime: {
		rings:   []string{"bell.>"},
		listens: []string{"bell.>"},
		appends: []string{hoist.StreamLogs + "*"},
	},
	hoist.ComponentRouter: {
		listens: []string{hoist.BellRoute + "*", hoist.BellDyno + "*", hoist.BellComponent},
		appends: []string{hoist.StreamLogs + "*"},
	},
	hoist.ComponentLogs: {
		tails: []string{streamLogs},
	},
}

// permissions turns a grant into allow lists. JetStream's API is subjects too:
// a reader makes a consumer of its own on a stream it may tail, and gets what
// it asks for in an inbox that nobody else may listen to.
func permissions(user string) *server.Permissions {
	if user == ComponentSeed {
		return nil
	}
	g := grants[user]
	publish := slices.Concat(g.rings, g.appends, []string{hoist.BellComponent})
	for _, stream := range g.tails {
		publish = append(publish,
			"$JS.API.STREAM.INFO."+stream,
			"$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.MSG.NEXT."+stream+".>",
			"$JS.API.CONSUMER.DELETE."+stream+".>",
		)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: slices.Concat(g.listens, []string{hoist.BellProven + "*", inbox(user) + ".>"})},
	}
}

// inbox is the prefix of the subjects on which a user gets its answers.
func inbox(user string) string { return "_INBOX." + user }
