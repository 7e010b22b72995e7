// Package e2e drives the real platform with clients that nobody here wrote:
// git, ssh, curl, the npm heroku CLI and heroku-go. The scripts under testdata
// read like shell sessions (see github.com/rogpeppe/go-internal/testscript);
// the Go tests beside them kill, cut and fill things.
package e2e
