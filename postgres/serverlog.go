package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The log of a server is bounded as that of the seed is: two files of logLimit bytes.
const (
	logLimit    = 16 << 20
	logInterval = 10 * time.Second // between looks at its size
)

func (s *Server) logFile() string { return filepath.Join(s.Dir, "postgres.log") }

// newLog makes a file in place of what there is under its name, be it a link.
func newLog(name string) (*os.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// boundLog moves a log that is full to a second file. The server goes on writing into the
// first one: it is emptied in its place.
func (s *Server) boundLog() error {
	f, err := os.OpenFile(s.logFile(), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	// By what it takes: a server of an earlier version does not append, and leaves a hole where the file was emptied.
	if st.Blocks*512 <= logLimit || st.Nlink != 1 {
		return nil
	}
	old, err := newLog(s.logFile() + ".1")
	if err != nil {
		return err
	}
	_, err = io.Copy(old, io.NewSectionReader(f, max(0, st.Size-logLimit), logLimit))
	return errors.Join(err, old.Close(), f.Truncate(0))
}

// why is the last thing that a server which does not start says.
func (s *Server) why() string {
	text := s.lastOfLog()
	i := bytes.LastIndex(text, []byte("FATAL:  "))
	if i < 0 {
		return "see " + s.logFile()
	}
	line, _, _ := strings.Cut(string(text[i+len("FATAL:  "):]), "\n")
	return fmt.Sprintf("%s (see %s)", line, s.logFile())
}

// lastOfLog is the end of the log, as far as it can be read.
func (s *Server) lastOfLog() []byte {
	f, err := os.OpenFile(s.logFile(), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	const enough = 64 << 10
	if st, err := f.Stat(); err == nil && st.Size() > enough {
		f.Seek(-enough, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, enough))
	return text
}
