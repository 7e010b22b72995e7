package cli

import (
	"context"
	"errors"
	"net/url"
	"os/exec"
	"path"
	"slices"
	"strings"

	"github.com/hoist-sh/hoist"
)

// remote is a git remote that is an app.
type remote struct {
	name string // of the remote
	host string // without a port
	app  string
	ssh  bool
}

// parseRemote reads the URL of a git remote in any of the forms git takes:
// https://git.HOST/APP.git, ssh://git@HOST:PORT/APP.git, git@HOST:APP.git.
// ok is false if it cannot be an app's.
func parseRemote(name, raw string) (r remote, ok bool) {
	host, file, ssh := "", "", true
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil || !slices.Contains([]string{"http", "https", "ssh", "git+ssh"}, u.Scheme) {
			return remote{}, false
		}
		host, file, ssh = u.Hostname(), u.Path, strings.HasSuffix(u.Scheme, "ssh")
	} else {
		user, rest, _ := strings.Cut(raw, "@")
		if rest == "" {
			rest = user
		}
		if host, file, ok = strings.Cut(rest, ":"); !ok || strings.Contains(host, "/") {
			return remote{}, false
		}
	}
	app := strings.TrimSuffix(strings.Trim(file, "/"), ".git")
	if host == "" || !hoist.AppName.MatchString(app) || path.Base(app) != app {
		return remote{}, false
	}
	return remote{name, strings.ToLower(host), app, ssh}, true
}

// remotes lists the remotes of the repository in dir that can be apps; none if
// it is no repository.
func remotes(ctx context.Context, dir string) ([]remote, error) {
	cmd := exec.CommandContext(ctx, "git", "config", "--null", "--get-regexp", `^remote\..*\.url$`)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, exec.ErrNotFound) {
		return nil, nil // no repository, no remotes, or no git
	}
	if err != nil {
		return nil, err
	}
	return parseRemotes(string(out)), nil
}

// parseRemotes reads the output of git config --null: "key\nvalue\0" each.
func parseRemotes(out string) []remote {
	var list []remote
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		name := strings.TrimSuffix(strings.TrimPrefix(key, "remote."), ".url")
		if r, ok := parseRemote(name, value); ok {
			list = append(list, r)
		}
	}
	return list
}

// remotesHere lists the remotes of the repository that are an app on this
// platform.
func (t *target) remotesHere(ctx context.Context, app string) ([]remote, error) {
	list, err := remotes(ctx, t.Dir)
	domain := strings.TrimPrefix(t.api.base.Hostname(), "api.")
	return slices.DeleteFunc(list, func(r remote) bool { return r.app != app || !r.isOn(domain) }), err
}

// isOn reports whether the remote is on the platform at domain.
func (r remote) isOn(domain string) bool { return r.host == domain || r.host == "git."+domain }

// chooseRemote finds the app that a repository means: that of the remote
// called want; without want, that of "hoist", or the only one there is on the
// platform at domain.
func chooseRemote(list []remote, want, domain string) (string, error) {
	name := want
	if name == "" {
		name = "hoist"
	}
	if i := slices.IndexFunc(list, func(r remote) bool { return r.name == name }); i >= 0 {
		return list[i].app, nil
	}
	if want != "" {
		var names []string
		for _, r := range list {
			names = append(names, r.name)
		}
		message := "There is no git remote " + want + " that is an app."
		if near := nearest(want, names); near != "" {
			message += "\nDid you mean --remote " + near + "?"
		}
		return "", errors.New(message)
	}
	var found []remote
	for _, r := range list {
		if r.isOn(domain) && !slices.ContainsFunc(found, func(f remote) bool { return f.app == r.app }) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0].app, nil
	case 0:
		return "", usagef("Which app? Give --app APP, set $HOIST_APP, or run `hoist git:remote --app APP` in its repository.")
	}
	var names []string
	for _, r := range found {
		names = append(names, r.app+" (remote "+r.name+")")
	}
	return "", usagef("This repository is of several apps: %s.\nChoose one with --app or --remote.", strings.Join(names, ", "))
}
