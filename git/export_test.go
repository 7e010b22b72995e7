package git

import (
	"context"
	"time"

	"github.com/hoist-sh/hoist"
)

// Sweep removes unneeded blobs now.
func Sweep(ctx context.Context, db Database, blobs hoist.Blobs, before time.Time) error {
	return New(Config{DB: db, Blobs: blobs}).sweep(ctx, before)
}
