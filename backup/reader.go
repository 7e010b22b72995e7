package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/klauspost/compress/zstd"
)

// Reader reads a backup. What it returns before the end is authentic but, until
// Next has returned io.EOF, perhaps not all.
type Reader struct {
	Header  Header
	Damaged []Damaged // after the end

	raw  *watchedReader
	age  io.Reader
	zstd *zstd.Decoder
	tar  *tar.Reader
	name string // of the entry being read
	hash hash.Hash
	sums bytes.Buffer // what SHA256SUMS must be
	err  error        // at which reading ended
}

// NewReader reads the beginning of a backup. Close the reader when done.
func NewReader(r io.Reader, key *Key) (*Reader, error) {
	if len(key.identities) == 0 {
		return nil, errors.New("This key is a public one (age1…): it can make backups. Restoring needs the secret key that belongs to it (AGE-SECRET-KEY-…).")
	}
	b := &Reader{raw: &watchedReader{r: r}}
	var err error
	if b.age, err = age.Decrypt(b.raw, key.identities...); err != nil {
		var none *age.NoIdentityMatchError
		switch {
		case b.raw.err != nil:
			return nil, b.raw.err
		case errors.As(err, &none):
			return nil, errors.New("The key does not open this backup: it was made with another one, or its first bytes are damaged.")
		}
		return nil, fmt.Errorf("This is no backup of hoist, or its first bytes are damaged (%w).", err)
	}
	b.zstd, err = zstd.NewReader(b.age, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, b.fail(err)
	}
	b.tar = tar.NewReader(b.zstd)
	if err := b.readHeader(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Reader) readHeader() error {
	name, _, err := b.next()
	if err != nil {
		return err
	}
	if name != headerName {
		return b.fail(fmt.Errorf("it begins with %q", name))
	}
	if err := b.readJSON(&b.Header); err != nil {
		return err
	}
	switch h := b.Header; {
	case h.Format > Format:
		return &NewerError{h.Version, fmt.Sprintf("its format is %d, this program knows up to %d", h.Format, Format)}
	case h.Schema > postgres.SchemaVersion:
		return &NewerError{h.Version, fmt.Sprintf("its database has schema %d, this program knows up to %d", h.Schema, postgres.SchemaVersion)}
	case h.Format < 1 || h.Schema < 1:
		return b.fail(fmt.Errorf("format %d, schema %d", h.Format, h.Schema))
	}
	return nil
}

// Next goes on to the next entry of files, rows or blobs; Read reads it. It returns
// io.EOF when all was read and is as it was written, and a DamagedError if not.
func (b *Reader) Next() (name string, size int64, err error) {
	if name, size, err = b.next(); err != nil || name != damagedName {
		return name, size, err
	}
	if err := b.readJSON(&b.Damaged); err != nil {
		return "", 0, err
	}
	return "", 0, b.end()
}

// next is the next entry of any kind.
func (b *Reader) next() (name string, size int64, err error) {
	if err := b.finish(); err != nil {
		return "", 0, err
	}
	h, err := b.tar.Next()
	if err != nil {
		return "", 0, b.fail(err)
	}
	if h.Typeflag != tar.TypeReg || sparse(h) {
		return "", 0, b.fail(fmt.Errorf("%q is not a file", h.Name))
	}
	b.name, b.hash = h.Name, sha256.New()
	return h.Name, h.Size, nil
}

// sparse reports whether an entry is larger than what is there of it.
func sparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// finish reads what was left of an entry and notes its checksum.
func (b *Reader) finish() error {
	if b.err != nil {
		return b.err
	}
	if b.name == "" {
		return nil
	}
	if _, err := io.Copy(io.Discard, b); err != nil {
		return err
	}
	fmt.Fprintf(&b.sums, "%x  %s\n", b.hash.Sum(nil), b.name)
	b.name = ""
	return nil
}

// Read implements io.Reader for the entry that Next went to.
func (b *Reader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.tar.Read(p)
	b.hash.Write(p[:n])
	if err != nil && err != io.EOF {
		err = b.fail(err)
	}
	return n, err
}

// end compares the checksums and sees to it that nothing follows them.
func (b *Reader) end() error {
	name, _, err := b.next()
	if err != nil {
		return err
	}
	want := bytes.Clone(b.sums.Bytes())
	got, err := io.ReadAll(io.LimitReader(b, int64(len(want))+1))
	if err != nil {
		return err
	}
	if name != sumsName || !bytes.Equal(got, want) {
		return b.fail(errors.New("its checksums are wrong"))
	}
	if _, err := b.tar.Next(); err != io.EOF {
		return b.fail(errors.New("something follows its checksums"))
	}
	for _, layer := range []io.Reader{b.zstd, b.age} {
		if n, err := io.Copy(io.Discard, io.LimitReader(layer, 1)); err != nil || n > 0 {
			return b.fail(errors.Join(errors.New("it does not end where it should"), err))
		}
	}
	b.err = io.EOF
	return io.EOF
}

// bytes reads an entry that is small.
func (b *Reader) bytes(limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(b, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = b.fail(fmt.Errorf("%q has more than %d bytes", b.name, limit))
	}
	return text, err
}

func (b *Reader) readJSON(into any) error {
	text, err := b.bytes(metaLimit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return b.fail(fmt.Errorf("%s: %w", b.name, err))
	}
	return nil
}

// fail ends the reading. An error of what the backup is read from is no fault of
// the backup's.
func (b *Reader) fail(err error) error {
	switch {
	case b.raw.err != nil:
		b.err = b.raw.err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
		fallthrough
	default:
		b.err = &DamagedError{At: b.raw.n, Err: err}
	}
	return b.err
}

// Stored is how many bytes of the backup have been read.
func (b *Reader) Stored() int64 { return b.raw.n }

// Close frees what the reader has.
func (b *Reader) Close() { b.zstd.Close() }

// watchedReader counts, and keeps the error that was not the end.
type watchedReader struct {
	r   io.Reader
	n   int64
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
