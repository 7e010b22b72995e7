package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// person is who has the login, the key and the working copies: who runs us or, behind
// sudo(8), who typed that. Behind it their files are theirs, and their programs run as them.
type person struct {
	home    string // where their things are
	sshHome string // where ssh looks for its directory: it does not go by $HOME
	name    string
	cred    *syscall.Credential // nil: who runs us
}

// somebody is who runs us. Another $HOME than root's and the person's was chosen, and stays.
func somebody(env func(string) string) (person, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return person{}, err
	}
	p := person{home: home, sshHome: home}
	if u, err := user.Current(); err == nil {
		p.sshHome = u.HomeDir
	}
	if name := env("SUDO_USER"); os.Geteuid() == 0 && name != "" && name != "root" {
		u, err := user.Lookup(name)
		if err != nil {
			return p, fmt.Errorf("who typed sudo: %w", err)
		}
		if home == p.sshHome || home == u.HomeDir {
			return p, p.become(u)
		}
	}
	return p, nil
}

func (p *person) become(u *user.User) error {
	ids, err := u.GroupIds()
	if err != nil {
		return err
	}
	number := func(id string) uint32 {
		n, e := strconv.ParseUint(id, 10, 32)
		err = errors.Join(err, e)
		return uint32(n)
	}
	p.home, p.sshHome, p.name = u.HomeDir, u.HomeDir, u.Username
	p.cred = &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, id := range ids {
		p.cred.Groups = append(p.cred.Groups, number(id))
	}
	return err
}

// runs makes a program one of theirs, in their environment.
func (p *person) runs(cmd *exec.Cmd) {
	if p.cred == nil {
		return
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return slices.ContainsFunc([]string{"HOME=", "USER=", "LOGNAME=", "MAIL="}, func(name string) bool { return strings.HasPrefix(kv, name) })
	})
	cmd.Env = append(env, "HOME="+p.home, "USER="+p.name, "LOGNAME="+p.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
}

// own gives them what we made in a directory, or a file.
func (p *person) own(path string) error {
	if p.cred == nil {
		return nil
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(p.cred.Uid), int(p.cred.Gid)))
	})
}
