// Package git is the platform's front door for code: git push, fetch and clone
// over SSH and HTTP.
//
// A repository's truth is its row in the database (refs, HEAD, the list of
// packs) and its packs in the blob store. On disk there are only mirrors of
// it, which may vanish at any time, and a scratch repository for each push
// under way, in which a real git receive-pack works.
package git

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/socket"
	"golang.org/x/sync/errgroup"
)

// Database is what git needs of the database.
type Database interface {
	WaitForSchema(ctx context.Context, waiting func(what string)) error
	Lock(ctx context.Context, name string, waiting func(since time.Duration)) (unlock func(), err error)
	TryLock(ctx context.Context, name string) (unlock func(), ok bool, err error)

	AccountByFingerprint(ctx context.Context, fingerprint string) (hoist.Account, error)
	AccountByTokenHash(ctx context.Context, hash []byte) (hoist.Account, []string, error)
	AppOf(ctx context.Context, accountID hoist.ID, name string) (hoist.App, error)

	Repo(ctx context.Context, appID hoist.ID) (hoist.Repo, error)
	PrepareRepo(ctx context.Context, appID hoist.ID, head string) (hoist.Repo, error)
	MoveRefs(ctx context.Context, appID hoist.ID, push hoist.Push) error
	ReplacePacks(ctx context.Context, appID hoist.ID, generation int64, pack hoist.Pack) error
	LivePacks(ctx context.Context) (map[string]bool, error)

	InsertPushedBuild(ctx context.Context, b hoist.Build) error
	PushedBuild(ctx context.Context, id hoist.ID) (hoist.Build, string, error)
	CancelPushedBuild(ctx context.Context, id hoist.ID, why string) error
	OpenPushedBuilds(ctx context.Context, appID hoist.ID) ([]hoist.ID, error)
}

// Config is what a Server is made from. Zero values of the limits mean their
// defaults.
type Config struct {
	DB     Database
	Bus    hoist.Bus
	Blobs  hoist.Blobs
	Public hoist.Public
	Log    *slog.Logger

	Dir     string // for mirrors and pushes under way; may vanish between two runs
	Hook    string // the program that is git's pre-receive hook when run by that name; it calls Hook
	SSH     string // address to listen on if no socket "ssh" was handed over
	HTTP    string // address to listen on
	HostKey string // SSH host key in PEM, or a file with it; empty: kept in the blob store

	// Register makes the HTTP address, and that of an SSH listener of this
	// process alone, known until ctx ends.
	Register func(ctx context.Context, http, ssh string)
	// Proven is closed when people's connections may come in at SSH; nil: at once.
	Proven <-chan struct{}

	PushLimit   int64         // bytes of a push; default 1 GiB
	RepoLimit   int64         // bytes of what a repository's refs need; its packs may have twice that for a while; default 4 GiB
	SourceLimit int64         // bytes of a source that is deployed, unpacked; default 4 GiB
	CacheLimit  int64         // bytes of mirrors on disk; default 5 GiB
	Idle        time.Duration // how long an SSH connection may give no sign of life; default 2 min
	Longest     time.Duration // how long an SSH connection may last; default 6 h
	Commands    int           // of one account over SSH at once; default 20
	PushWait    time.Duration // how long a push waits for another one to the same app; default 15 min
	Drain       time.Duration // how long connections may go on when Run is to end; default 25 s
}

// Server is the component.
type Server struct {
	Config
	cache *cache
	under underWay
	gone  context.Context // ends when what waits for a build must
	cut   context.CancelFunc
	work  sync.WaitGroup // what goes on beside the connections
}

// cutGrace is how long who waited for a build has to read that it is cut off.
const cutGrace = 3 * time.Second

// New makes the component.
func New(c Config) *Server {
	c.PushLimit = cmp.Or(c.PushLimit, 1<<30)
	c.RepoLimit = cmp.Or(c.RepoLimit, 4<<30)
	c.SourceLimit = cmp.Or(c.SourceLimit, 4<<30)
	c.CacheLimit = cmp.Or(c.CacheLimit, 5<<30)
	c.Idle = cmp.Or(c.Idle, 2*time.Minute)
	c.Longest = cmp.Or(c.Longest, 6*time.Hour)
	c.Commands = cmp.Or(c.Commands, 20)
	c.PushWait = cmp.Or(c.PushWait, 15*time.Minute)
	c.Drain = cmp.Or(c.Drain, 25*time.Second)
	c.Proven = hoist.Proven(c.Proven)
	s := &Server{Config: c, cache: newCache(c.Dir, c.DB, c.Blobs, c.CacheLimit, c.Log)}
	s.gone, s.cut = context.WithCancel(context.Background())
	return s
}

// Run serves until ctx ends, then lets pushes under way go on for a while.
func (s *Server) Run(ctx context.Context) error {
	err := s.DB.WaitForSchema(ctx, func(what string) {
		if what != "" {
			s.Log.Info("waiting", "for", what)
		}
	})
	if err != nil {
		return err
	}
	key, err := s.hostKey(ctx)
	if err != nil {
		return err
	}
	sshListener, err := socket.Listen("ssh", s.SSH)
	if err != nil {
		return fmt.Errorf("ssh: %w", err)
	}
	sshListener = socket.Gate(sshListener, s.Proven)
	defer sshListener.Close()
	ownListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("ssh: %w", err)
	}
	defer ownListener.Close()
	httpListener, err := net.Listen("tcp", s.HTTP)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	defer httpListener.Close()
	s.Log.Info("git is ready", "ssh", sshListener.Addr().String(), "http", httpListener.Addr().String())

	defer s.work.Wait()
	defer s.cut()
	group, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, func() { time.AfterFunc(s.Drain, s.cut) })
	group.Go(func() error { return s.serveSSH(ctx, key, sshListener, ownListener) })
	group.Go(func() error { return s.serveHTTP(ctx, httpListener) })
	group.Go(func() error {
		s.Register(ctx, httpListener.Addr().String(), ownListener.Addr().String())
		return nil
	})
	group.Go(func() error { s.keepHouse(ctx); return nil })
	return group.Wait()
}
