package hoist

import (
	"context"
	"io"
	"time"
)

// Blobs stores slugs, sources, packs and caches by key. Keys are made of
// [A-Za-z0-9._-] segments separated by "/", none of them "." or "..".
type Blobs interface {
	// Put stores r under key, atomically and durably, replacing what was there.
	// size is in bytes, or -1 if unknown; more than limit bytes is an error
	// (*Error "too_large"), and nothing is stored.
	Put(ctx context.Context, key string, r io.Reader, size, limit int64) error
	// Get opens key; ErrNotFound if there is none, ErrCorrupt if the store sees that it is not what was put.
	Get(ctx context.Context, key string) (io.ReadCloser, BlobInfo, error)
	// Stat describes key; ErrNotFound if there is none.
	Stat(ctx context.Context, key string) (BlobInfo, error)
	// Delete removes key; it is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List calls f for each key with the prefix, in order.
	List(ctx context.Context, prefix string, f func(BlobInfo) error) error
	// Presign returns a URL with which anybody may do method (GET or PUT) on
	// key until ttl is over. For whom the URL is decides its host. A GET answers
	// with an ETag that no other content of the key has. A PUT of more than
	// PresignedLimit bytes is refused, if the store can tell.
	Presign(ctx context.Context, method, key string, ttl time.Duration, from Viewpoint) (string, error)
}

// PresignedLimit is how many bytes may be put with a presigned URL.
const PresignedLimit = 1 << 30

// LockBlobs is the name of the lock in the database without which nobody
// deletes a blob because nothing refers to it. A backup holds it while it copies
// what an earlier moment of the database refers to.
const LockBlobs = "blobs"

// BlobInfo describes a blob.
type BlobInfo struct {
	Key     string
	Size    int64 // bytes
	ModTime time.Time
}

// Viewpoint is where a presigned URL will be used from.
type Viewpoint int

// Viewpoints.
const (
	FromDyno   Viewpoint = iota // a build container
	FromPublic                  // a user's machine
)
