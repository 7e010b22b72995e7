package backup_test

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/hoist-sh/hoist/backup"
	"github.com/klauspost/compress/zstd"
)

// FuzzReader reads archives that were made up by somebody who has the public key: what
// is within the encryption is any text.
func FuzzReader(f *testing.F) {
	secret, _ := age.GenerateX25519Identity()
	key := parse(f, secret.String())
	plain, err := age.Decrypt(bytes.NewReader(small(f, key, nil)), secret)
	if err != nil {
		f.Fatal(err)
	}
	z, err := zstd.NewReader(plain)
	if err != nil {
		f.Fatal(err)
	}
	archive, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(archive)
	f.Add(archive[:len(archive)/2])
	f.Add([]byte{})
	for _, e := range []tar.Header{
		{Name: "hoist.json", Typeflag: tar.TypeSymlink, Linkname: "x"},
		{Name: "hoist.json", Typeflag: tar.TypeReg, Size: 1 << 40},
		{Name: "../x", Typeflag: tar.TypeReg},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		e.ModTime = time.Unix(0, 0)
		w.WriteHeader(&e)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		var text bytes.Buffer
		w, err := age.Encrypt(&text, secret.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		z.Write(archive)
		z.Close()
		w.Close()
		check(text.Bytes(), key)
	})
}

// FuzzEncrypted reads what is no backup, or is one no more.
func FuzzEncrypted(f *testing.F) {
	key := newKey(f)
	good := small(f, key, nil)
	f.Add(good)
	f.Add(good[:200])
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := check(text, key); err == nil && !bytes.Equal(text, good) {
			t.Error("something else than the backup was read without an error")
		}
	})
}

func FuzzParseKey(f *testing.F) {
	text, _ := backup.NewKey(time.Now())
	f.Add(text)
	f.Add([]byte("age1\nAGE-SECRET-KEY-\n"))
	f.Add([]byte("pass"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := backup.ParseKey(text); (key == nil) == (err == nil) {
			t.Error(key, err)
		}
	})
}
