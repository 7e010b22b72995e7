package cli

import "time"

// What the commands read of the Platform API's objects.

type ref struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

type app struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Owner       ref        `json:"owner"`
	Region      ref        `json:"region"`
	Stack       ref        `json:"stack"`
	WebURL      string     `json:"web_url"`
	GitURL      string     `json:"git_url"`
	SSHURL      string     `json:"ssh_git_url"` // hoist's own
	Maintenance bool       `json:"maintenance"`
	SlugSize    *int64     `json:"slug_size"`
	RepoSize    *int64     `json:"repo_size"`
	Buildpack   string     `json:"buildpack_provided_description"`
	CreatedAt   time.Time  `json:"created_at"`
	ReleasedAt  *time.Time `json:"released_at"`
}

type dyno struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Size      string    `json:"size"`
	State     string    `json:"state"`
	Command   string    `json:"command"`
	AttachURL string    `json:"attach_url"`
	UpdatedAt time.Time `json:"updated_at"`
	ExitCode  *int      `json:"exit_code"` // hoist's own; of dynos that ended
	Reason    string    `json:"reason"`    // hoist's own; why it has crashed, if that is known
}

type processType struct {
	Type     string `json:"type"`
	Command  string `json:"command"`
	Quantity int    `json:"quantity"`
	Size     string `json:"size"`
}

type release struct {
	ID          string    `json:"id"`
	Version     int       `json:"version"`
	Description string    `json:"description"`
	Status      string    `json:"status"`
	Reason      string    `json:"reason"` // hoist's own: why it failed
	Current     bool      `json:"current"`
	User        ref       `json:"user"`
	Slug        *ref      `json:"slug"`
	CreatedAt   time.Time `json:"created_at"`
}

type slug struct {
	Checksum string `json:"checksum"` // "SHA256:" and hexadecimal digits
}

type build struct {
	ID              string    `json:"id"`
	Status          string    `json:"status"`
	Stack           string    `json:"stack"`
	OutputStreamURL string    `json:"output_stream_url"`
	User            ref       `json:"user"`
	Release         *ref      `json:"release"`
	CreatedAt       time.Time `json:"created_at"`
	SourceBlob      struct {
		Version            string `json:"version"`
		VersionDescription string `json:"version_description"`
	} `json:"source_blob"`
}

type key struct {
	ID          string `json:"id"`
	Comment     string `json:"comment"`
	Fingerprint string `json:"fingerprint"`
	PublicKey   string `json:"public_key"`
}

type collaborator struct {
	User ref    `json:"user"`
	Role string `json:"role"`
}

type domain struct {
	Hostname string `json:"hostname"`
	Kind     string `json:"kind"`
	CNAME    string `json:"cname"`
}

type buildpackInstallation struct {
	Ordinal   int `json:"ordinal"`
	Buildpack struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	} `json:"buildpack"`
}

type account struct {
	Email string `json:"email"`
}
