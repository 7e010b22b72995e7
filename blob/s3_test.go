package blob_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/blob"
	"github.com/hoist-sh/hoist/blob/blobtest"
)

func TestS3OfVersity(t *testing.T) {
	testS3(t, "versitygw", blobtest.Versity)
}

func TestS3OfMinio(t *testing.T) {
	testS3(t, "minio", func(bin, addr, dir string) *exec.Cmd {
		cmd := exec.Command(bin, "server", "--address", addr, "--quiet", dir)
		cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+blobtest.S3Key, "MINIO_ROOT_PASSWORD="+blobtest.S3Secret, "MINIO_BROWSER=off", "HOME="+dir)
		return cmd
	})
}

// testS3 runs the suite against an S3 server made by others, with a bucket
// for each part of it.
func testS3(t *testing.T, name string, command func(bin, addr, dir string) *exec.Cmd) {
	bin := blobtest.Tool(t, name)
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
	n := 0
	testBlobs(t, func(t *testing.T) hoist.Blobs {
		n++
		bucket := fmt.Sprintf("bucket%d", n)
		blobtest.MakeBucket(t, addr, bucket)
		u := url.URL{Scheme: "s3", User: url.UserPassword(blobtest.S3Key, blobtest.S3Secret), Host: addr, Path: "/" + bucket, RawQuery: "insecure=true"}
		b, err := blob.Open(u.String())
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
