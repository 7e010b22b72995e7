package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// partSize bounds what an upload of unknown length keeps in memory; S3 takes
// 10,000 parts.
const partSize = 16 << 20

// s3 is any S3; it implements hoist.Blobs.
type s3 struct {
	bucket       string
	client       *minio.Client
	dyno, public *minio.Client // for presigned URLs
}

// newS3 takes s3://KEY:SECRET@HOST[:PORT]/BUCKET?region=…&insecure=true.
func newS3(u *url.URL) (*s3, error) {
	const want = "want s3://KEY:SECRET@HOST[:PORT]/BUCKET?region=REGION&insecure=true"
	bucket := strings.Trim(u.Path, "/")
	secret, _ := u.User.Password()
	if u.Host == "" || bucket == "" || strings.Contains(bucket, "/") || u.User.Username() == "" || secret == "" {
		return nil, errors.New(want)
	}
	q := u.Query()
	region := q.Get("region")
	if region == "" {
		region = "us-east-1" // named, so that signing needs no request
	}
	client := func(host string, secure bool) (*minio.Client, error) {
		return minio.New(host, &minio.Options{
			Creds:  credentials.NewStaticV4(u.User.Username(), secret, ""),
			Secure: secure, Region: region, BucketLookup: minio.BucketLookupAuto,
		})
	}
	s := &s3{bucket: bucket}
	var err error
	if s.client, err = client(u.Host, q.Get("insecure") != "true"); err != nil {
		return nil, err
	}
	for name, to := range map[string]**minio.Client{"dyno": &s.dyno, "public": &s.public} {
		*to = s.client
		if v := q.Get(name); v != "" {
			p, err := url.Parse(v)
			if err != nil || p.Host == "" {
				return nil, fmt.Errorf("%s=%q is not a URL", name, v)
			}
			if *to, err = client(p.Host, p.Scheme == "https"); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *s3) Put(ctx context.Context, key string, r io.Reader, size, limit int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if size > limit {
		return tooLarge(limit)
	}
	body := &watchedReader{r: &limitedReader{r: r, left: limit, limit: limit}}
	_, err := s.client.PutObject(ctx, s.bucket, key, body, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: partSize, ConcurrentStreamParts: false,
	})
	if body.err != nil {
		err = body.err
	}
	return s.explain("put", key, err)
}

func (s *s3) Get(ctx context.Context, key string) (io.ReadCloser, hoist.BlobInfo, error) {
	if err := CheckKey(key); err != nil {
		return nil, hoist.BlobInfo{}, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, hoist.BlobInfo{}, s.explain("get", key, err)
	}
	st, err := object.Stat()
	if err != nil {
		object.Close()
		return nil, hoist.BlobInfo{}, s.explain("get", key, err)
	}
	return object, hoist.BlobInfo{Key: key, Size: st.Size, ModTime: st.LastModified}, nil
}

func (s *s3) Stat(ctx context.Context, key string) (hoist.BlobInfo, error) {
	if err := CheckKey(key); err != nil {
		return hoist.BlobInfo{}, err
	}
	st, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return hoist.BlobInfo{}, s.explain("stat", key, err)
	}
	return hoist.BlobInfo{Key: key, Size: st.Size, ModTime: st.LastModified}, nil
}

func (s *s3) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := s.explain("delete", key, s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, hoist.ErrNotFound) {
		return nil
	}
	return err
}

func (s *s3) List(ctx context.Context, prefix string, f func(hoist.BlobInfo) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the listing when f wants no more
	defer cancel()
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return s.explain("list", prefix, o.Err)
		}
		if err := f(hoist.BlobInfo{Key: o.Key, Size: o.Size, ModTime: o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Presign returns a URL of S3's own kind; those cannot bound a PUT's size.
func (s *s3) Presign(ctx context.Context, method, key string, ttl time.Duration, from hoist.Viewpoint) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	client := s.public
	if from == hoist.FromDyno {
		client = s.dyno
	}
	var u *url.URL
	var err error
	switch method {
	case http.MethodGet:
		u, err = client.PresignedGetObject(ctx, s.bucket, key, ttl, nil)
	case http.MethodPut:
		u, err = client.PresignedPutObject(ctx, s.bucket, key, ttl)
	default:
		return "", hoist.Invalid("presign: method %q; GET or PUT", method)
	}
	if err != nil {
		return "", s.explain("presign", key, err)
	}
	return u.String(), nil
}

func (s *s3) explain(what, key string, err error) error {
	if err == nil {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey:
		err = hoist.NotFound("blob")
	case minio.NoSuchBucket:
		err = fmt.Errorf("the bucket %q does not exist; create it", s.bucket)
	case "XMinioStorageFull":
		err = ErrFull
	}
	return fmt.Errorf("%s blob %s: %w", what, key, err)
}
