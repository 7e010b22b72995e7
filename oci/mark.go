package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/hoist-sh/hoist"
	"golang.org/x/sys/unix"
)

// mark says how far an output was read. It is kept in a file, which outlives
// the process (not the machine, nor does the pipe), so that whoever reads on
// gives the lines that are still in the pipe the places that they had before.
type mark struct {
	Source  hoist.ID // of the places
	Taken   uint64   // bytes that have left the pipe
	Carry   []byte   // the last of them, if they were not handed on: the start of a line
	Taking  int      // bytes that are leaving it: nobody knows whether they have
	Sum     uint32   // of these bytes: the same again, just then, would be taken for them
	Waiting int      // lines that were handed on and may not be flushed
}

const markFile = "out.json"

// open reads the mark of an earlier process, if there is one. What an output
// without one has had is not known; another source is right for what comes.
func (o *output) open(dir string) (err error) {
	if o.kept, err = os.OpenFile(filepath.Join(dir, markFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("oci: open the container's output: %w", err)
	}
	// What is behind it is left of a longer one.
	if json.NewDecoder(o.kept).Decode(&o.mark) != nil || o.mark.Source == "" {
		o.mark = mark{Source: hoist.NewID()}
		err = o.save()
	}
	o.lost = o.mark.Waiting
	return err
}

// save writes the mark; o.mu is held, or nobody else has o yet.
func (o *output) save() error {
	o.mark.Waiting = o.handed - o.flushed
	data, err := json.Marshal(o.mark)
	if err != nil {
		return err
	}
	_, err = o.kept.WriteAt(data, 0)
	return err
}

// resume finishes what an earlier watcher began.
func (o *output) resume(out hoist.Output) error {
	if o.mark.Taking > 0 {
		if err := o.takeMarked(o.edge.pipe); err != nil {
			return err
		}
	}
	if o.lost > 0 {
		out.Lost(o.lost)
		o.lost = 0
	}
	o.taken()
	return nil
}

// takeMarked takes the bytes that were about to leave the pipe out of it, if
// they are there.
func (o *output) takeMarked(fd int) error {
	seen, err := o.peek(fd)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if n := o.mark.Taking; err == nil && len(seen) >= n && crc32.ChecksumIEEE(seen[:n]) == o.mark.Sum {
		err = discard(fd, seen[:n])
	}
	return err
}

// take takes bytes out of the pipe that were looked at; carry is what of them was not handed on.
func (o *output) take(fd, n int, carry []byte) error {
	o.taking(o.buf[:n], carry)
	if n > 0 {
		if err := discard(fd, o.buf[:n]); err != nil {
			return err
		}
		o.taken()
	}
	return nil
}

// taking notes that bytes are about to leave the pipe. That it cannot be
// written down holds up nobody: it matters only after a kill.
func (o *output) taking(bytes, carry []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mark.Taking, o.mark.Sum, o.mark.Carry = len(bytes), crc32.ChecksumIEEE(bytes), carry
	o.save()
}

// taken notes that they have.
func (o *output) taken() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mark.Taken += uint64(o.mark.Taking)
	o.mark.Taking, o.mark.Sum = 0, 0
	o.save()
}

// nowhere is where the output goes that nobody wants.
type nowhere struct{}

func (nowhere) Line(hoist.Place, []byte)    {}
func (nowhere) Flush(context.Context) error { return nil }
func (nowhere) Lost(int)                    {}
