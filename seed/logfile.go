package seed

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// logLimit bounds the log: two files of this many bytes.
const logLimit = 16 << 20

// LogFile is the seed's log, which is begun again when it is full; the file
// before it is kept.
type LogFile struct {
	path string
	std  bool

	mu   sync.Mutex
	file *os.File
	size int64
}

// LogPath is where the seed of these settings writes its log.
func (s *Settings) LogPath() string { return s.file("seed.log") }

// OpenLog opens a log, to add to it.
func OpenLog(path string) (*LogFile, error) {
	l := &LogFile{path: path}
	return l, l.open()
}

func (l *LogFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, st.Size()
	if l.std {
		return l.redirect()
	}
	return nil
}

func (l *LogFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > logLimit {
		l.turn()
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// turn begins a new file. If that cannot be, as the process has no file descriptor left, the old one goes on.
func (l *LogFile) turn() {
	old := l.file
	if err := os.Rename(l.path, l.path+".1"); err != nil && !os.IsNotExist(err) {
		return
	}
	if l.open() == nil {
		old.Close()
	}
}

// TakeStandard makes the log the standard output and error of this process,
// so that a fatal error is in it too.
func (l *LogFile) TakeStandard() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.std = true
	return l.redirect()
}

func (l *LogFile) redirect() error {
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(l.file.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return nil
}

var _ io.Writer = (*LogFile)(nil)
