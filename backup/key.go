package backup

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
)

// shortest is the least length of a passphrase that a backup is encrypted with.
const shortest = 12

// Key encrypts or decrypts backups: age keys or a passphrase.
type Key struct {
	recipients []age.Recipient
	identities []age.Identity
	passphrase string
}

// ParseKey reads a key file: age secret keys ("AGE-SECRET-KEY-…"), which do
// both; age public keys ("age1…"), which can only encrypt; or else a passphrase.
func ParseKey(text []byte) (*Key, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return nil, errors.New("the key is empty")
	}
	if bytes.HasPrefix(text, []byte("-----BEGIN")) {
		return nil, errors.New("want an age key or a passphrase, not a PEM file")
	}
	k := &Key{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
			err = k.addIdentity(line)
		case strings.HasPrefix(line, "age1"):
			err = k.addRecipient(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(k.recipients) > 0 {
		return k, nil
	}
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errors.New("a passphrase is one line; age keys begin with AGE-SECRET-KEY- or age1")
	}
	k.passphrase = string(text)
	recipient, err := age.NewScryptRecipient(k.passphrase)
	if err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(k.passphrase)
	if err != nil {
		return nil, err
	}
	k.recipients, k.identities = []age.Recipient{recipient}, []age.Identity{identity}
	return k, nil
}

func (k *Key) addIdentity(line string) error {
	list, err := age.ParseIdentities(strings.NewReader(line))
	if err != nil {
		return errors.New("not an age secret key") // err may show it
	}
	for _, identity := range list {
		k.identities = append(k.identities, identity)
		switch i := identity.(type) {
		case *age.X25519Identity:
			k.recipients = append(k.recipients, i.Recipient())
		case *age.HybridIdentity:
			k.recipients = append(k.recipients, i.Recipient())
		default:
			return errors.New("not a kind of age secret key that hoist knows")
		}
	}
	return nil
}

func (k *Key) addRecipient(line string) error {
	list, err := age.ParseRecipients(strings.NewReader(line))
	if err != nil {
		return fmt.Errorf("not an age public key: %w", err)
	}
	k.recipients = append(k.recipients, list...)
	return nil
}

// NewKey makes the text of a key file with a secret key.
func NewKey(now time.Time) ([]byte, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", now.Format(time.RFC3339), identity.Recipient(), identity), nil
}
