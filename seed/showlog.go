package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// ShowLog writes the last lines of the seed's log and, to follow it, new ones
// until ctx ends. With a component they are those that it wrote, inside the seed or
// in its dynos; of "postgres" its own log. It needs no running seed.
func ShowLog(ctx context.Context, s Settings, w io.Writer, component string, lines int, follow bool) error {
	name := s.LogPath()
	if component == "postgres" {
		name = s.file("postgres/postgres.log")
	}
	var text []byte
	for _, path := range []string{name + ".1", name} {
		part, err := endOf(path)
		if err != nil {
			return err
		}
		text = append(text, part...)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("There is no %s. In the foreground the seed writes its log to the terminal.", name)
	}
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	out := w
	if component != "postgres" {
		filter := &logFilter{w: w, component: component}
		text, w = filter.pick(text), filter
	}
	if _, err := out.Write(lastLines(text, lines)); err != nil || !follow {
		return err
	}
	for {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		// Begun again meanwhile: take the rest of the old file, then the new. That of
		// postgres is also emptied in its place.
		now, err := os.Stat(name)
		if err != nil {
			continue
		}
		old, err := f.Stat()
		if err != nil {
			continue
		}
		if at, err := f.Seek(0, io.SeekCurrent); err == nil && os.SameFile(old, now) {
			if now.Size() < at {
				f.Seek(0, io.SeekStart)
			}
		} else if next, err := os.Open(name); err == nil {
			io.Copy(w, f)
			f.Close()
			f = next
		}
	}
}

// endOf is the last logLimit bytes of a file; nothing if there is no file.
func endOf(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-logLimit), logLimit))
}

func lastLines(text []byte, n int) []byte {
	end := len(bytes.TrimSuffix(text, []byte("\n")))
	for i := end - 1; i >= 0; i-- {
		if text[i] == '\n' {
			if n--; n == 0 {
				return text[i+1:]
			}
		}
	}
	return text
}
