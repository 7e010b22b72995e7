package blob_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func TestS3OfVersity(t *testing.T) {
	testS3(t, "versitygw", func(bin, addr, dir string) *exec.Cmd {
		return exec.Command(bin, "--access", "key", "--secret", "secretsecret", "--port", addr, "posix", dir)
	})
}

func TestS3OfMinio(t *testing.T) {
	testS3(t, "minio", func(bin, addr, dir string) *exec.Cmd {
		cmd := exec.Command(bin, "server", "--address", addr, "--quiet", dir)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER=key", "MINIO_ROOT_PASSWORD=secretsecret", "MINIO_BROWSER=off", "HOME="+dir)
		return cmd
	})
}

// testS3 runs the suite against an S3 server made by others, with a bucket
// for each part of it.
func testS3(t *testing.T, name string, command func(bin, addr, dir string) *exec.Cmd) {
	cache := os.Getenv("HOIST_TEST_CACHE")
	if cache == "" {
		user, _ := os.UserCacheDir()
		cache = filepath.Join(user, "hoist-test")
	}
	bin := filepath.Join(cache, "bin", name)
	if _, err := os.Stat(bin); err != nil {
		t.Skipf("%s is not installed; script/test-deps.sh builds it", name)
	}
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := command(bin, addr, t.TempDir())
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4("key", "secretsecret", ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	testBlobs(t, func(t *testing.T) hoist.Blobs {
		n++
		bucket := fmt.Sprintf("bucket%d", n)
		for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{})
			if err == nil {
				break
			}
			if time.Since(start) > 30*time.Second {
				t.Fatal(err)
			}
		}
		u := url.URL{Scheme: "s3", User: url.UserPassword("key", "secretsecret"), Host: addr, Path: "/" + bucket, RawQuery: "insecure=true"}
		b, err := blob.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
