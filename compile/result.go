package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/buildpack/slug"
)

// result reads what the dyno said of its build. Nothing in it is believed
// before it was checked.
func (j *job) result(ctx context.Context, d hoist.Dyno, took time.Duration) (slug.Result, error) {
	// We are its client: whatever it says after that is not the build's fault.
	if d.Reason == hoist.ReasonClientLost && (d.ExitCode == nil || *d.ExitCode != 0) {
		return slug.Result{}, errMachine
	}
	text, err := j.read(ctx, j.prefix()+"result.json")
	if errors.Is(err, hoist.ErrNotFound) {
		return slug.Result{}, j.withoutResult(d, took)
	}
	if err != nil {
		return slug.Result{}, fmt.Errorf("the blob store: %w", err)
	}
	r, err := slug.ParseResult(text)
	switch {
	case err != nil:
		return r, &rejected{reason: clip(err.Error())}
	case r.Error != "":
		return r, &rejected{reason: clip(r.Error), limit: limitMet(d), buildpack: r.Buildpack}
	case d.ExitCode == nil || d.Reason == hoist.ReasonExitUnknown:
		return r, errMachine
	case *d.ExitCode != 0:
		return r, j.withoutResult(d, took)
	}
	return r, nil
}

// withoutResult says why a dyno ended without a result.
func (j *job) withoutResult(d hoist.Dyno, took time.Duration) error {
	switch {
	case took >= j.settings.Timeout-time.Second:
		return &rejected{reason: fmt.Sprintf("The compilation took longer than %s and was stopped.", j.settings.Timeout)}
	case d.ExitCode == nil || d.Reason == hoist.ReasonExitUnknown:
		return fmt.Errorf("%w: %s", errMachine, d.Reason)
	case d.Reason != "":
		return &rejected{reason: fmt.Sprintf("The build ended with exit status %d: %s.", *d.ExitCode, d.Reason)}
	}
	return &rejected{reason: fmt.Sprintf("The build ended with exit status %d.", *d.ExitCode)}
}

// limitMet says which limit of its dyno a failed build met, if it did: what ran in it may not
// have known why it was killed.
func limitMet(d hoist.Dyno) string {
	switch d.Reason {
	case hoist.ReasonMemory, hoist.ReasonDisk, hoist.ReasonPids:
		return "Its dyno met a limit: " + d.Reason + "."
	}
	return ""
}

// clip makes a reason what Postgres takes: not too long, whole characters, none of them NUL.
func clip(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), 4000)], ""), "\x00", "")
}

func (j *job) read(ctx context.Context, key string) ([]byte, error) {
	r, _, err := j.blobs.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, slug.ResultLimit+1))
}

// takeSlug copies the image from where the dyno may write to where only the
// platform does, and checks on the way that it is what the result says. So
// what a release uses can no longer be changed by whoever holds a presigned
// URL.
func (j *job) takeSlug(ctx context.Context, r slug.Result) (hoist.Slug, error) {
	s := hoist.Slug{
		ID: hoist.NewID(), AppID: j.build.AppID, SHA256: r.SHA256, Size: r.Size,
		ProcessTypes: r.ProcessTypes, BuildpackProvided: r.Buildpack, Stack: j.build.Stack,
		Commit: j.build.SourceVersion, CommitDescription: j.build.SourceDescription,
	}
	if s.ProcessTypes == nil {
		s.ProcessTypes = map[string]string{}
	}
	s.Key = "slugs/" + s.AppID + "/" + s.ID + ".squashfs"
	body, info, err := j.blobs.Get(ctx, j.prefix()+"slug.squashfs")
	missing := &rejected{reason: "The build stored no slug of the size it reported."}
	if errors.Is(err, hoist.ErrNotFound) {
		return s, missing
	}
	if err != nil {
		return s, fmt.Errorf("the blob store: %w", err)
	}
	defer body.Close()
	if info.Size != r.Size {
		return s, missing
	}
	sum := sha256.New()
	if err := j.blobs.Put(ctx, s.Key, io.TeeReader(body, sum), info.Size, hoist.SlugLimit); err != nil {
		return s, fmt.Errorf("the blob store: %w", err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != r.SHA256 {
		j.blobs.Delete(ctx, s.Key)
		return s, &rejected{reason: "The slug is not the one the build reported."}
	}
	return s, nil
}
