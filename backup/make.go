package backup

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
)

// Database is what a backup needs of it.
type Database interface {
	Snapshot(ctx context.Context, f func(*postgres.Snapshot) error) error
	// Lock waits until nobody else holds the lock called name.
	Lock(ctx context.Context, name string, waiting func(since time.Duration)) (unlock func(), err error)
}

// File is a small file of the seed's: a key, a certificate, settings.
type File struct {
	Name    string
	Content []byte
}

// Source is a platform to make backups of. It may be at work.
type Source struct {
	DB       Database // as its owner
	Blobs    hoist.Blobs
	Files    []File
	Version  string // of this program
	Domain   string
	Now      func() time.Time
	Progress Progress
}

// Write writes a backup. If a blob is missing or damaged the backup has all else,
// and the summary says which.
func (s Source) Write(ctx context.Context, w io.Writer, key *Key) (Summary, error) {
	waiting := func(time.Duration) { s.Progress("waiting for another backup, or for the collector, to end", 0, 0) }
	unlock, err := s.DB.Lock(ctx, hoist.LockBlobs, waiting)
	if err != nil {
		return Summary{}, fmt.Errorf("database: %w", err)
	}
	defer unlock()
	m := &making{Source: s, sum: Summary{CreatedAt: s.Now().UTC().Truncate(time.Second), Domain: s.Domain, Version: s.Version,
		Damaged: []Damaged{}}}
	var blobs []postgres.StoredBlob
	err = s.DB.Snapshot(ctx, func(snapshot *postgres.Snapshot) error {
		blobs = snapshot.Blobs
		return m.rows(ctx, w, key, snapshot)
	})
	if err != nil {
		return m.sum, err
	}
	for _, b := range blobs {
		if err := m.blob(ctx, b); err != nil {
			return m.sum, err
		}
	}
	err = m.out.Close(m.sum.Damaged)
	m.sum.Stored = m.out.Stored()
	return m.sum, err
}

// making is a backup being written.
type making struct {
	Source
	out         *Writer
	sum         Summary
	done, total int64
}

// rows writes all but the blobs, while the database is held at one moment.
func (m *making) rows(ctx context.Context, w io.Writer, key *Key, s *postgres.Snapshot) (err error) {
	for _, b := range s.Blobs {
		m.total += b.Size
	}
	m.sum.Apps = s.Apps
	m.out, err = NewWriter(w, key, Header{Format: Format, Schema: s.Schema, Version: m.Version, CreatedAt: m.sum.CreatedAt,
		Domain: m.Domain, Apps: s.Apps, Tables: s.Tables, Size: m.total})
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		if err := m.out.addBytes(filePrefix+f.Name, f.Content); err != nil {
			return err
		}
		m.sum.Files++
		m.sum.Bytes += int64(len(f.Content))
	}
	for _, t := range s.Tables {
		m.Progress("database, "+t.Name, 0, 0)
		parts := &parts{add: func(n int, rows []byte) error {
			m.sum.Bytes += int64(len(rows))
			return m.out.addBytes(fmt.Sprintf("%s%s/%06d", tablePrefix, t.Name, n), rows)
		}}
		if err := s.Copy(ctx, t, parts); err != nil {
			return err
		}
		if err := parts.flush(); err != nil {
			return err
		}
	}
	return nil
}

// blob writes one blob.
func (m *making) blob(ctx context.Context, b postgres.StoredBlob) error {
	m.Progress("slugs and repositories", m.done, m.total)
	defer func() { m.done += b.Size }()
	r, info, err := m.Blobs.Get(ctx, b.Key)
	if errors.Is(err, hoist.ErrNotFound) || errors.Is(err, hoist.ErrCorrupt) {
		m.damaged(b.Key, err)
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	sum, err := m.out.Add(blobPrefix+b.Key, info.Size, r)
	switch {
	case errors.Is(err, hoist.ErrCorrupt) && ctx.Err() == nil:
		m.damaged(b.Key, err)
	case err != nil:
		return err
	case b.SHA256 != "" && b.SHA256 != hex.EncodeToString(sum[:]):
		m.damaged(b.Key, errors.New("its checksum is wrong"))
	}
	m.sum.Blobs++
	m.sum.Bytes += info.Size
	return nil
}

func (m *making) damaged(key string, why error) {
	text := why.Error()
	if e, ok := hoist.AsError(why); ok {
		text = e.Message
	}
	m.sum.Damaged = append(m.sum.Damaged, Damaged{key, text})
}

// partSize is about how many bytes of rows an entry has.
const partSize = 4 << 20

// parts cuts rows into entries, at the ends of rows.
type parts struct {
	add func(n int, rows []byte) error
	n   int
	buf bytes.Buffer
}

func (p *parts) Write(rows []byte) (int, error) {
	p.buf.Write(rows)
	end := bytes.LastIndexByte(p.buf.Bytes(), '\n') + 1
	if end < partSize {
		return len(rows), nil
	}
	p.n++
	return len(rows), p.add(p.n, p.buf.Next(end))
}

func (p *parts) flush() error {
	if p.buf.Len() == 0 {
		return nil
	}
	p.n++
	return p.add(p.n, p.buf.Next(p.buf.Len()))
}
