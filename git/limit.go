package git

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/hoist-sh/hoist"
)

const (
	// sourceEntries and sourceNames bound a source's files and directories and
	// the bytes of a list of them: git archive has them all in memory.
	sourceEntries = 500_000
	sourceNames   = 256 << 20
)

// limited passes on what is written until it is more than left, and then
// fails with err.
type limited struct {
	w    io.Writer
	left int64
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, l.err
	}
	return l.w.Write(p)
}

// head keeps the start of what is written.
type head struct {
	b     []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), h.limit-len(h.b))]...)
	return len(p), nil
}

// checkEntries refuses a commit of too many files. It takes a few objects to
// make a tree without an end, of trees that name each other many times.
func (p *pushing) checkEntries(ctx context.Context, commit string) error {
	tooMany := refusal("The source has more than 500,000 files and directories, or names that are too long.\n" +
		"Is something in it that should not be?")
	entries := 0
	count := writerFunc(func(list []byte) (int, error) {
		if entries += bytes.Count(list, []byte{0}); entries > sourceEntries {
			return 0, tooMany
		}
		return len(list), nil
	})
	return runTo(ctx, &limited{count, sourceNames, tooMany}, p.scratch.dir, p.env, nil, "ls-tree", "-r", "-t", "-z", commit)
}

// underWay counts the commands of each account.
type underWay struct {
	mu    sync.Mutex
	taken map[hoist.ID]int
}

// take gives an account's command its place until leave is called, if fewer
// than most have one.
func (u *underWay) take(account hoist.ID, most int) (leave func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.taken[account] >= most {
		return nil, false
	}
	if u.taken == nil {
		u.taken = map[hoist.ID]int{}
	}
	u.taken[account]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.taken[account]--; u.taken[account] == 0 {
			delete(u.taken, account)
		}
	}, true
}
