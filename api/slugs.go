package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
)

type slugDB interface {
	CreateSlug(ctx context.Context, s hoist.Slug) (hoist.Slug, error)
	Slug(ctx context.Context, appID, id hoist.ID) (hoist.Slug, error)
	SlugStored(ctx context.Context, id hoist.ID, key string, size int64, sha256 string) error
}

// transferTime is how long a presigned URL is good for.
const transferTime = time.Hour

type slugJSON struct {
	Blob              blobJSON          `json:"blob"`
	BuildpackProvided *string           `json:"buildpack_provided_description"`
	Checksum          *string           `json:"checksum"`
	Commit            *string           `json:"commit"`
	CommitDescription *string           `json:"commit_description"`
	CreatedAt         timestamp         `json:"created_at"`
	ID                hoist.ID          `json:"id"`
	ProcessTypes      map[string]string `json:"process_types"`
	Size              *int64            `json:"size"`
	Stack             named             `json:"stack"`
	UpdatedAt         timestamp         `json:"updated_at"`
}

type blobJSON struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// uploadSuffix follows the key of a slug that has no image yet: there clients
// put one. From there it is copied to a key to which nobody has a URL to put
// anything, and which becomes the slug's.
const uploadSuffix = ".upload"

// showSlug shows a slug with a URL to get its image by, or to put it.
func (s *Server) showSlug(c *call, slug hoist.Slug, method string) (any, error) {
	key := slug.Key
	if !slug.Ready {
		key += uploadSuffix
	}
	url, err := s.Blobs.Presign(c.Context(), method, key, transferTime, hoist.FromPublic)
	if err != nil {
		return nil, err
	}
	v := slugJSON{
		Blob:              blobJSON{strings.ToLower(method), url},
		BuildpackProvided: optional(slug.BuildpackProvided), Commit: optional(slug.Commit),
		CommitDescription: optional(slug.CommitDescription), CreatedAt: timestamp(slug.CreatedAt), ID: slug.ID,
		ProcessTypes: slug.ProcessTypes, Size: optionalSize(slug.Size), Stack: refTo("stack", slug.Stack),
		UpdatedAt: timestamp(slug.UpdatedAt),
	}
	if slug.SHA256 != "" {
		v.Checksum = optional("SHA256:" + slug.SHA256)
	}
	return v, nil
}

func (s *Server) slugRoutes(onApp func(string, string, appHandler)) {
	onApp("POST", "/slugs", s.slugCreate)
	onApp("GET", "/slugs/{slug}", func(c *call, a hoist.App) (any, error) {
		slug, err := s.DB.Slug(c.Context(), a.ID, c.PathValue("slug"))
		if err != nil {
			return nil, err
		}
		return s.showSlug(c, slug, "GET")
	})
}

var checksum = regexp.MustCompile(`^(?i:SHA256:)([0-9a-fA-F]{64})$`)

func (s *Server) slugCreate(c *call, a hoist.App) (any, error) {
	var in struct {
		ProcessTypes      map[string]string `json:"process_types"`
		BuildpackProvided string            `json:"buildpack_provided_description"`
		Checksum          string            `json:"checksum"`
		Commit            string            `json:"commit"`
		CommitDescription string            `json:"commit_description"`
		Stack             identity          `json:"stack"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.ProcessTypes == nil {
		return nil, hoist.Invalid("process_types: say which commands the slug runs, such as {\"web\": \"./server\"}.")
	}
	for name, command := range in.ProcessTypes {
		if !processTypeName.MatchString(name) || strings.TrimSpace(command) == "" || len(command) > commandMost {
			return nil, hoist.Invalid("process_types: %.40q: names have letters, digits, - and _, and a command.", name)
		}
	}
	if err := s.checkStack(in.Stack); err != nil {
		return nil, err
	}
	slug := hoist.Slug{
		ID: hoist.NewID(), AppID: a.ID, ProcessTypes: in.ProcessTypes, BuildpackProvided: shorten(in.BuildpackProvided, 200),
		Commit: shorten(in.Commit, 200), CommitDescription: shorten(in.CommitDescription, 1000), Stack: a.Stack,
	}
	slug.Key = slugPrefix + a.ID + "/" + slug.ID
	if in.Checksum != "" {
		m := checksum.FindStringSubmatch(in.Checksum)
		if m == nil {
			return nil, hoist.Invalid("checksum: it looks like SHA256: and 64 hexadecimal digits.")
		}
		slug.SHA256 = strings.ToLower(m[1])
	}
	slug, err := s.DB.CreateSlug(c.Context(), slug)
	if err != nil {
		return nil, err
	}
	v, err := s.showSlug(c, slug, "PUT")
	if err != nil {
		return nil, err
	}
	return created(v), nil
}

// checkStored makes sure that the image of a slug that a client uploaded is in
// the blob store, is a squashfs image and is what the client said, and takes it:
// from then on the client's URL, while it is good, changes nothing.
func (s *Server) checkStored(ctx context.Context, slug hoist.Slug) error {
	if slug.Ready {
		return nil
	}
	upload := slug.Key + uploadSuffix
	image, info, err := s.Blobs.Get(ctx, upload)
	if errors.Is(err, hoist.ErrNotFound) {
		return hoist.Invalid("Slug %s has no image yet: PUT it to the blob's URL first.", slug.ID)
	}
	if err != nil {
		return err
	}
	defer image.Close()
	if info.Size > hoist.SlugLimit {
		return hoist.Invalid("Slug %s has %d bytes; at most %d are possible.", slug.ID, info.Size, int64(hoist.SlugLimit))
	}
	sum := sha256.New()
	r := bufio.NewReader(io.TeeReader(image, sum))
	if magic, _ := r.Peek(4); string(magic) != "hsqs" {
		return hoist.Invalid("Slug %s is not a squashfs image (mksquashfs DIR IMAGE -comp zstd).", slug.ID)
	}
	// One for each try: a release of the same slug at the same time may have taken another image.
	key := slug.Key + "." + hoist.NewID()
	if err := s.Blobs.Put(ctx, key, r, info.Size, hoist.SlugLimit); err != nil {
		return err
	}
	got := hex.EncodeToString(sum.Sum(nil))
	if slug.SHA256 != "" && slug.SHA256 != got {
		s.Blobs.Delete(ctx, key)
		return hoist.Invalid("Slug %s has the checksum SHA256:%s, not the one it was announced with.", slug.ID, got)
	}
	switch err := s.DB.SlugStored(ctx, slug.ID, key, info.Size, got); {
	case errors.Is(err, hoist.ErrConflict):
		s.Blobs.Delete(ctx, key)
		return nil // the other one is the slug's
	case err != nil:
		return err
	}
	s.Blobs.Delete(ctx, upload) // else the collector does
	return nil
}
