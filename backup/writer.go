package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Writer writes a backup.
type Writer struct {
	raw  *countingWriter
	age  io.WriteCloser
	zstd *zstd.Encoder
	tar  *tar.Writer
	at   time.Time
	sums bytes.Buffer // SHA256SUMS so far
}

// NewWriter begins a backup. It is complete when Close has returned nil.
func NewWriter(w io.Writer, key *Key, h Header) (*Writer, error) {
	if key.passphrase != "" && len(key.passphrase) < shortest {
		return nil, fmt.Errorf("A passphrase of %d characters does not protect a backup; take %d or more, or a key (--new-key makes one).", len(key.passphrase), shortest)
	}
	b := &Writer{raw: &countingWriter{w: w}, at: h.CreatedAt}
	var err error
	if b.age, err = age.Encrypt(b.raw, key.recipients...); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if b.zstd, err = zstd.NewWriter(b.age, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	b.tar = tar.NewWriter(b.zstd)
	return b, b.addJSON(headerName, h)
}

// Add adds an entry of exactly size bytes. An error of r after these is
// returned and leaves the backup as it should be; after any other error it is
// good for nothing.
func (b *Writer) Add(name string, size int64, r io.Reader) (sum [sha256.Size]byte, err error) {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: b.at}
	if err := b.tar.WriteHeader(header); err != nil {
		return sum, err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(b.tar, hash), r)
	if n != size {
		return sum, fmt.Errorf("%s: %d bytes came, not %d (%v)", name, n, size, err) // not err itself: the backup is lost
	}
	hash.Sum(sum[:0])
	fmt.Fprintf(&b.sums, "%x  %s\n", sum, name)
	return sum, err
}

func (b *Writer) addBytes(name string, content []byte) error {
	_, err := b.Add(name, int64(len(content)), bytes.NewReader(content))
	return err
}

func (b *Writer) addJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return b.addBytes(name, append(text, '\n'))
}

// Close ends the backup.
func (b *Writer) Close(damaged []Damaged) error {
	if err := b.addJSON(damagedName, damaged); err != nil {
		return err
	}
	if err := b.addBytes(sumsName, bytes.Clone(b.sums.Bytes())); err != nil {
		return err
	}
	for _, layer := range []io.Closer{b.tar, b.zstd, b.age} {
		if err := layer.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Stored is how many bytes of the backup have been written.
func (b *Writer) Stored() int64 { return b.raw.n }

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
