package blobtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hoist-sh/hoist/needtest"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The account of the S3 servers that tests start.
const (
	S3Key    = "key"
	S3Secret = "secretsecret"
)

// Tool is a program that script/test-deps.sh builds.
func Tool(t testing.TB, name string) string {
	t.Helper()
	cache := os.Getenv("HOIST_TEST_CACHE")
	if cache == "" {
		user, _ := os.UserCacheDir()
		cache = filepath.Join(user, "hoist-test")
	}
	bin := filepath.Join(cache, "bin", name)
	if _, err := os.Stat(bin); err != nil {
		needtest.Missing(t, "%s is not installed (%v); script/test-deps.sh builds it", name, err)
	}
	return bin
}

// Versity is the command of an S3 server that listens at addr and keeps objects in dir.
func Versity(bin, addr, dir string) *exec.Cmd {
	return exec.Command(bin, "--access", S3Key, "--secret", S3Secret, "--port", addr, "posix", dir)
}

// MakeBucket makes a bucket as soon as the S3 server at addr answers.
func MakeBucket(t testing.TB, addr, bucket string) {
	t.Helper()
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(S3Key, S3Secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{})
		if err == nil {
			return
		}
		if time.Since(start) > 30*time.Second {
			t.Fatal(err)
		}
	}
}
