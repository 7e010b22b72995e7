package seed

import (
	"context"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/nats"
	"github.com/hoist-sh/hoist/postgres"
)

// use is what the seed itself has of the ground. As with components, nothing of it is got without saying
// what for, and what becomes of the seed without.
type use struct {
	db      *postgres.DB // for the status, the registry and the current release
	api     *postgres.DB // as the component api, for proofs and what follows from them
	bus     *nats.Bus
	slugs   hoist.Blobs
	sources hoist.Blobs // of proofs
	needs   []hoist.Need
}

// connect gets all of it. Nothing is waited for: the seed starts without any.
func (s *Seed) connect(ctx context.Context) (err error) {
	const nothingNew = "what is good runs; nothing new is let in"
	if s.db, err = s.database(ctx, componentSeed, "the current release, rows of its dynos", "it starts from system.json"); err != nil {
		return err
	}
	if s.api, err = s.database(ctx, hoist.ComponentAPI, "proofs, and what follows from them", nothingNew); err != nil {
		return err
	}
	if s.bus, err = s.messages("bells, lines of its dynos", "it looks every 3 s; lines go to its log"); err != nil {
		return err
	}
	if s.slugs, err = s.blobs(hoist.ComponentRuntime, "slugs of a new release", "it keeps the last good ones as files"); err != nil {
		return err
	}
	s.sources, err = s.blobs(hoist.ComponentAPI, "sources of proofs", nothingNew)
	return err
}

func (s *Seed) disconnect() {
	if s.bus != nil {
		s.bus.Close()
	}
	for _, db := range []*postgres.DB{s.api, s.db} {
		if db != nil {
			db.Close()
		}
	}
}

func (s *Seed) need(on, what, without string) {
	s.needs = append(s.needs, hoist.Need{On: on, For: what, Without: without})
}

// database, messages and blobs are parts of the ground as a component has them. what says what for,
// without how the seed goes on while it is missing; empty if it would wait.
func (s *Seed) database(ctx context.Context, component, what, without string) (*postgres.DB, error) {
	s.need(hoist.NeedDatabase, what, without)
	return postgres.Open(ctx, s.cfg.databaseURL(s.state, component))
}

func (s *Seed) messages(what, without string) (*nats.Bus, error) {
	s.need(hoist.NeedBus, what, without)
	return nats.Connect(s.cfg.natsURL(s.state, componentSeed), s.log)
}

func (s *Seed) blobs(component, what, without string) (hoist.Blobs, error) {
	s.need(hoist.NeedBlobs, what, without)
	return blob.Open(s.cfg.blobURL(s.state, component))
}

// Needs are what a seed uses of the ground, as it is made to run. Nobody need be there.
func Needs(ctx context.Context, cfg Config) ([]hoist.Need, error) {
	s := &Seed{cfg: cfg, log: cfg.Log, state: &state{}}
	defer s.disconnect()
	err := s.connect(ctx)
	return s.needs, err
}
