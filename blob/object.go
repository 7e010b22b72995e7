package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// objectPartSize bounds what is kept in memory of an Object on its way; with
// S3's 10,000 parts an object may have 312 GiB.
const objectPartSize = 32 << 20

// Object is one object in some S3, not of the platform's own store: where a
// person keeps something.
type Object struct {
	bucket, key string
	client      *minio.Client
}

// OpenObject takes s3://BUCKET/KEY. Who we are and where S3 is comes from the
// variables that Amazon's own tools read: AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION, and
// AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for an S3 that is not Amazon's.
func OpenObject(rawURL string, env func(string) string) (*Object, error) {
	u, err := url.Parse(rawURL)
	key := ""
	if err == nil {
		key = strings.TrimPrefix(u.Path, "/")
	}
	if err != nil || u.Scheme != "s3" || u.Host == "" || key == "" || strings.HasSuffix(key, "/") || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%q: want s3://BUCKET/KEY", rawURL)
	}
	id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return nil, errors.New("S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (and AWS_ENDPOINT_URL, if it is not Amazon's)")
	}
	region := cmp.Or(env("AWS_REGION"), env("AWS_DEFAULT_REGION"), "us-east-1")
	host, secure := "s3."+region+".amazonaws.com", true
	if endpoint := cmp.Or(env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL")); endpoint != "" {
		e, err := url.Parse(endpoint)
		if err != nil || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.Scheme != "http" && e.Scheme != "https" {
			return nil, fmt.Errorf("AWS_ENDPOINT_URL: %q is not http://HOST:PORT or https://HOST", endpoint)
		}
		host, secure = e.Host, e.Scheme == "https"
	}
	client, err := minio.New(host, &minio.Options{Creds: credentials.NewStaticV4(id, secret, env("AWS_SESSION_TOKEN")),
		Secure: secure, Region: region, BucketLookup: minio.BucketLookupAuto})
	if err != nil {
		return nil, err
	}
	return &Object{u.Host, key, client}, nil
}

// Put stores the object, of any length. It is there when Put returns nil; on an error,
// of r too, what was there before stays.
func (o *Object) Put(ctx context.Context, r io.Reader) error {
	body := &watchedReader{r: r}
	_, err := o.client.PutObject(ctx, o.bucket, o.key, body, -1, minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: objectPartSize,
	})
	if body.err != nil {
		return body.err
	}
	return o.explain(err)
}

// Get opens the object.
func (o *Object) Get(ctx context.Context) (io.ReadCloser, error) {
	object, err := o.client.GetObject(ctx, o.bucket, o.key, minio.GetObjectOptions{})
	if err != nil {
		return nil, o.explain(err)
	}
	if _, err := object.Stat(); err != nil {
		object.Close()
		return nil, o.explain(err)
	}
	return object, nil
}

func (o *Object) explain(err error) error {
	if err == nil {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey:
		return fmt.Errorf("there is no s3://%s/%s", o.bucket, o.key)
	case minio.NoSuchBucket:
		return fmt.Errorf("the bucket %q does not exist; create it", o.bucket)
	}
	return fmt.Errorf("s3://%s/%s: %w", o.bucket, o.key, err)
}
