package hoist

import "time"

// Account is a person or robot who may log in.
type Account struct {
	ID           ID
	Email        string
	Name         string
	PasswordHash string // argon2id, in the PHC string format
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// AccountChange is what to change of an account; nil leaves it as it is.
type AccountChange struct {
	Email        *string
	Name         *string
	PasswordHash *string
	// RevokeBut is the only authorization that outlives the change; empty: all do.
	RevokeBut ID
}

// Key is an SSH public key of an account.
type Key struct {
	ID          ID
	AccountID   ID
	Email       string // the account's
	PublicKey   string // authorized_keys form: type, base64, comment
	Comment     string
	Fingerprint string // "SHA256:…", as ssh-keygen -l prints it; unique
	CreatedAt   time.Time
}

// Authorization is an API token. Only its hash is kept.
type Authorization struct {
	ID          ID
	AccountID   ID
	Description string
	Scope       []string
	TokenHash   []byte // SHA-256 of the token
	ExpiresAt   *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Collaborator is an account that may work on an app it does not own.
type Collaborator struct {
	ID        ID
	AppID     ID
	AccountID ID
	Email     string
	CreatedAt time.Time
	UpdatedAt time.Time
}
