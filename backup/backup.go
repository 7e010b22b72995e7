// Package backup writes the whole platform into one encrypted stream, and
// reads it again.
//
// A backup is a tar archive, compressed by zstd, encrypted by age
// (https://age-encryption.org/v1), so that `age -d | zstd -d | tar x` opens it
// where there is no hoist. Its entries, in this order:
//
//	hoist.json              Header
//	files/NAME              keys, certificates and settings
//	database/TABLE/NUMBER   rows in the text format of Postgres' COPY, a few megabytes each
//	blobs/KEY               slugs and packs of repositories
//	damaged.json            []Damaged
//	SHA256SUMS              of all entries before it, as sha256sum(1) reads it
//
// What the database says is of one moment. Blobs never change, and while a backup
// is made none is deleted, so that what the rows refer to is there.
package backup

import (
	"fmt"
	"time"

	"github.com/hoist-sh/hoist/postgres"
)

// Format is the version of the archive that this program writes; it reads no
// later one.
const Format = 1

// Names of entries, and beginnings of names.
const (
	headerName  = "hoist.json"
	filePrefix  = "files/"
	tablePrefix = "database/"
	blobPrefix  = "blobs/"
	damagedName = "damaged.json"
	sumsName    = "SHA256SUMS"
)

// Limits of entries that are read into memory, in bytes.
const (
	metaLimit = 64 << 20
	fileLimit = 1 << 20
)

// Header begins a backup.
type Header struct {
	Format    int              `json:"format"`
	Schema    int              `json:"schema"`  // version of the database's
	Version   string           `json:"version"` // of the program that made it
	CreatedAt time.Time        `json:"created_at"`
	Domain    string           `json:"domain"`
	Apps      int              `json:"apps"`
	Tables    []postgres.Table `json:"tables"`
	Size      int64            `json:"size"` // bytes of the blobs that follow, at most
}

// Damaged is a blob that was missing or broken when the backup was made.
type Damaged struct {
	Key string `json:"key"`
	Why string `json:"why"`
}

// Summary is what a backup holds.
type Summary struct {
	CreatedAt time.Time `json:"created_at"`
	Domain    string    `json:"domain"`
	Version   string    `json:"version"`
	Apps      int       `json:"apps"`
	Files     int       `json:"files"`
	Blobs     int       `json:"blobs"`
	Bytes     int64     `json:"bytes"`  // of files, rows and blobs
	Stored    int64     `json:"stored"` // bytes of the backup itself
	Damaged   []Damaged `json:"damaged"`
}

// Progress is told how many bytes of the blobs, by far most of a backup, have
// been done. Doing is what goes on, for people.
type Progress func(doing string, done, total int64)

// DamagedError says that a backup is not what was written: cut off or changed.
type DamagedError struct {
	At  int64 // bytes read
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("The backup is damaged or cut off, at byte %d or a little before (%v). Take another one.", e.At, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// NewerError says that a later version of the program made the backup.
type NewerError struct {
	Version string
	What    string
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("The backup was made by a newer hoist, %.12s (%s). Restore it with that version or a later one.", e.Version, e.What)
}
