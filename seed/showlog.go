package seed

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"
)

// ShowLog writes the last lines of the seed's log and, to follow it, new ones
// until ctx ends.
func ShowLog(ctx context.Context, s Settings, w io.Writer, lines int, follow bool) error {
	var text []byte
	for _, path := range []string{s.LogPath() + ".1", s.LogPath()} {
		part, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		text = append(text, part...)
	}
	f, err := os.Open(s.LogPath())
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if _, err := w.Write(lastLines(text, lines)); err != nil || !follow {
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
		// Begun again meanwhile: take the rest of the old file, then the new.
		now, err := os.Stat(s.LogPath())
		if err != nil {
			continue
		}
		if old, err := f.Stat(); err == nil && !os.SameFile(old, now) {
			if next, err := os.Open(s.LogPath()); err == nil {
				io.Copy(w, f)
				f.Close()
				f = next
			}
		}
	}
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
