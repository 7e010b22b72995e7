// Package blob stores slugs, sources, packs and caches. There are two stores
// behind hoist.Blobs: files served over HTTP by the seed, to who has a signed
// URL, and any S3.
package blob

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"

	"github.com/hoist-sh/hoist"
)

// Open returns the store of a BLOB_URL:
//
//	hoist://USER:SECRET@HOST:PORT?dyno=URL&public=URL
//	s3://KEY:SECRET@HOST[:PORT]/BUCKET?region=REGION&insecure=true&dyno=URL&public=URL
//
// dyno and public are where build dynos and users reach the store, if not at
// HOST. Open does not wait for the store.
func Open(rawURL string) (hoist.Blobs, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("BLOB_URL: not a URL") // err would show the secret
	}
	var blobs hoist.Blobs
	switch u.Scheme {
	case "hoist":
		blobs, err = newClient(u)
	case "s3":
		blobs, err = newS3(u)
	default:
		err = errors.New("want hoist://… or s3://…")
	}
	if err != nil {
		return nil, fmt.Errorf("BLOB_URL: %w", err)
	}
	return blobs, nil
}

// watchedReader keeps the error of a reader, which HTTP clients wrap or lose.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// limitedReader fails, rather than ends, beyond its limit.
type limitedReader struct {
	r           io.Reader
	left, limit int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, tooLarge(l.limit)
	}
	return n, err
}

// verifiedBody turns the end of a body into an error if its checksum is not
// the one announced.
type verifiedBody struct {
	io.ReadCloser
	hash hash.Hash
	etag string
	info hoist.BlobInfo
	read int64
}

func (b *verifiedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	b.read += int64(n)
	if err == io.EOF && (b.read != b.info.Size || `"`+hexSum(b.hash.Sum(nil))+`"` != b.etag) {
		return n, fmt.Errorf("blob %s: %w", b.info.Key, hoist.ErrCorrupt)
	}
	return n, err
}
