package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/hoist-sh/hoist"
)

// takeDir makes the cluster's directory and sees to it that it is ours alone: we work in it by
// name, as root, and whoever may put links there could have us write any file of the
// machine. Only what is in data is the server's. (Earlier versions gave it all away.)
func (s *Server) takeDir() error {
	if err := os.MkdirAll(s.Dir, 0o711); err != nil {
		return err
	}
	if s.cred != nil {
		if err := os.Chown(s.Dir, os.Geteuid(), os.Getegid()); err != nil {
			return err
		}
	}
	return os.Chmod(s.Dir, 0o711)
}

// makeCluster has initdb make the cluster in a directory of its own, which is renamed when it is complete.
func (s *Server) makeCluster(ctx context.Context, bin string) error {
	tmp := filepath.Join(s.Dir, "init")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	password, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer password.Close()
	_, err = w.WriteString(s.Password + "\n")
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	if s.cred != nil {
		uid, gid := int(s.cred.Uid), int(s.cred.Gid)
		// The pipe, too: initdb opens it anew.
		if err := errors.Join(os.Lchown(tmp, uid, gid), password.Chown(uid, gid)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", tmp, "-U", "postgres",
		"--pwfile", "/dev/fd/3", "--auth", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--data-checksums")
	cmd.Dir = s.Dir
	cmd.ExtraFiles = []*os.File{password}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := os.Rename(tmp, s.dataDir()); err != nil {
		return err
	}
	return hoist.SyncDir(s.Dir)
}
