package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/hoist-sh/hoist"
)

// fsckLenient are defects of commits and trees that old tools left in many
// histories and that harm nobody. All others are refused
// (git-config(1), fsck.<msg-id>).
var fsckLenient = []string{
	"badTimezone", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingNameBeforeEmail",
	"missingEmail", "zeroPaddedFilemode", "zeroPaddedDate", "badDate", "nulInCommit", "gitmodulesParse",
}

// push runs receive-pack in a scratch repository that borrows the mirror's
// objects. What the client sends, and what git does to refs at the end, stays
// there; a rejected push and half a push leave nothing.
func (s *session) push(ctx context.Context, m *mirror) error {
	scratch, err := s.newScratch(ctx, m)
	if err != nil {
		return err
	}
	defer scratch.remove()

	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	answered := make(chan struct{})
	p := &pushing{session: s, scratch: scratch, before: m.repo}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(answered)
		p.serveHook(ctx, ours)
	}()

	config := []string{
		"receive.unpackLimit=1",
		"receive.autogc=false",
		"receive.keepAlive=5",
		"receive.denyDeleteCurrent=ignore", // we know better (checkUpdates)
		"receive.maxInputSize=" + strconv.FormatInt(s.PushLimit, 10),
		"transfer.fsckObjects=true",
	}
	for _, id := range fsckLenient {
		config = append(config, "receive.fsck."+id+"=ignore")
	}
	args := []string{string(receivePack)}
	if s.stateless {
		args = append(args, "--stateless-rpc")
	}
	err = s.talk(ctx, config, []string{hookEnv + "=3"}, []*os.File{theirs}, append(args, scratch.dir)...)
	cancel() // no hook goes on without its git
	<-answered
	return err
}

// scratch is the repository of one push.
type scratch struct {
	dir  string
	lock *os.File
}

func (s *Server) scratchDir() string { return filepath.Join(s.Dir, "pushes") }

func (s *Server) newScratch(ctx context.Context, m *mirror) (*scratch, error) {
	dir := filepath.Join(s.scratchDir(), hoist.NewID()+".git")
	lock, err := flock(ctx, dir+".lock", syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	sc := &scratch{dir: dir, lock: lock}
	err = errors.Join(
		layOut(dir),
		writeRefs(dir, m.repo),
		os.WriteFile(filepath.Join(dir, "objects", "info", "alternates"), []byte(filepath.Join(m.dir, "objects")+"\n"), 0o600),
		os.Mkdir(filepath.Join(dir, "hooks"), 0o700),
		// A link, not a script: no shell, and git can always execute it.
		os.Symlink(s.Hook, filepath.Join(dir, "hooks", HookName)),
	)
	if err != nil {
		sc.remove()
		return nil, fmt.Errorf("scratch repository: %w", err)
	}
	return sc, nil
}

func (sc *scratch) remove() {
	os.RemoveAll(sc.dir)
	os.Remove(sc.lock.Name())
	sc.lock.Close()
}
