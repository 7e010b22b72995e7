package git

import (
	"context"
	"errors"
	"strings"

	"github.com/hoist-sh/hoist"
)

// service is what a client may ask for.
type service string

const (
	uploadPack  service = "upload-pack"  // clone and fetch
	receivePack service = "receive-pack" // push
)

var errCommand = refuse("Only git push, fetch and clone work here; there is no shell.")

// parseCommand takes the command line that a git client sends over SSH: a
// service and one path, which git puts in single quotes. Nothing of it ever
// reaches a shell or git's own command line; it names an app or nothing.
func parseCommand(line string) (service, string, error) {
	verb, path, _ := strings.Cut(line, " ")
	if verb == "git" { // "git receive-pack 'app.git'" is as good
		verb, path, _ = strings.Cut(path, " ")
		verb = "git-" + verb
	}
	var s service
	switch verb {
	case "git-upload-pack":
		s = uploadPack
	case "git-receive-pack":
		s = receivePack
	case "git-upload-archive":
		return "", "", refuse("git archive --remote does not work here; clone the app and archive that.")
	default:
		return "", "", errCommand
	}
	if inner, ok := strings.CutPrefix(path, "'"); ok {
		if path, ok = strings.CutSuffix(inner, "'"); !ok {
			return "", "", errCommand
		}
	}
	return s, path, nil
}

// appName returns the app that a repository's path means: "app.git",
// "/app.git", "app.git/" or "app"; ok is false if it can mean none.
func appName(path string) (name string, ok bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), ".git")
	return name, hoist.AppName.MatchString(name)
}

// appAt returns the app that a path means, if the account may work on it. An
// app that does not exist and one of somebody else's look the same.
func (s *Server) appAt(ctx context.Context, account hoist.Account, path string) (hoist.App, error) {
	name, ok := appName(path)
	if !ok {
		return hoist.App{}, refusal(noSuchApp(path))
	}
	app, err := s.DB.AppOf(ctx, account.ID, name)
	if errors.Is(err, hoist.ErrNotFound) {
		err = refusal(noSuchApp(path))
	}
	return app, err
}

// noSuchApp is the answer to a path that means no app one may work on. The path is the client's own; what could steer a
// terminal is left out.
func noSuchApp(path string) string {
	name, _ := appName(path)
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, name)
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	return "No such app as " + name + "."
}
