package api

import (
	"context"
	"path"

	"github.com/hoist-sh/hoist"
	"golang.org/x/crypto/ssh"
)

type keyDB interface {
	AddKey(ctx context.Context, k hoist.Key) (hoist.Key, error)
	Keys(ctx context.Context, accountID hoist.ID) ([]hoist.Key, error)
	DeleteKey(ctx context.Context, accountID, id hoist.ID) error
}

// keysMost bounds an account's SSH keys.
const keysMost = 200

type keyJSON struct {
	Comment     string    `json:"comment"`
	CreatedAt   timestamp `json:"created_at"`
	Email       string    `json:"email"`
	Fingerprint string    `json:"fingerprint"`
	ID          hoist.ID  `json:"id"`
	PublicKey   string    `json:"public_key"`
	UpdatedAt   timestamp `json:"updated_at"`
}

func showKey(k hoist.Key) any {
	return keyJSON{k.Comment, timestamp(k.CreatedAt), k.Email, k.Fingerprint, k.ID, k.PublicKey, timestamp(k.CreatedAt)}
}

func (s *Server) keyRoutes(on func(string, handler)) {
	on("GET /account/keys", s.keyList)
	on("POST /account/keys", s.keyCreate)
	on("GET /account/keys/{key...}", func(c *call) (any, error) {
		k, err := s.key(c)
		return showKey(k), err
	})
	on("DELETE /account/keys/{key...}", func(c *call) (any, error) {
		k, err := s.key(c)
		if err != nil {
			return nil, err
		}
		return showKey(k), s.DB.DeleteKey(c.Context(), c.account.ID, k.ID)
	})
}

// ParseKey reads an SSH public key as ssh-keygen writes it.
func ParseKey(text string) (hoist.Key, error) {
	key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(text) > 16<<10 {
		return hoist.Key{}, hoist.Invalid("public_key is not an SSH public key. Send the contents of a file like ~/.ssh/id_ed25519.pub.")
	}
	if key.Type() == "ssh-dss" {
		return hoist.Key{}, hoist.Invalid("public_key: DSA keys are not safe. Make a new one with ssh-keygen -t ed25519.")
	}
	public := string(ssh.MarshalAuthorizedKey(key))
	public = public[:len(public)-1]
	if comment != "" {
		public += " " + comment
	}
	return hoist.Key{ID: hoist.NewID(), PublicKey: public, Comment: comment, Fingerprint: ssh.FingerprintSHA256(key)}, nil
}

func (s *Server) keyCreate(c *call) (any, error) {
	var in struct {
		PublicKey string `json:"public_key"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	k, err := ParseKey(in.PublicKey)
	if err != nil {
		return nil, err
	}
	k.AccountID = c.account.ID
	had, err := s.DB.Keys(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	if len(had) >= keysMost {
		return nil, hoist.Invalid("The account has %d keys, which is the limit. Remove some.", len(had))
	}
	if k, err = s.DB.AddKey(c.Context(), k); err != nil {
		return nil, err
	}
	return created(showKey(k)), nil
}

func (s *Server) keyList(c *call) (any, error) {
	list, err := s.DB.Keys(c.Context(), c.account.ID)
	if err != nil {
		return nil, err
	}
	return page(c, list, showKey, sortKey[hoist.Key]{"id", func(k hoist.Key) string { return k.ID }})
}

// key finds the key in the path: by ID or fingerprint (which may hold slashes,
// of which tidyPath leaves one where there are several) or, as people say it, by
// comment.
func (s *Server) key(c *call) (hoist.Key, error) {
	list, err := s.DB.Keys(c.Context(), c.account.ID)
	if err != nil {
		return hoist.Key{}, err
	}
	name := c.PathValue("key")
	for _, k := range list {
		if name == k.ID || name == k.Fingerprint || name == path.Clean(k.Fingerprint) || name == k.Comment {
			return k, nil
		}
	}
	return hoist.Key{}, hoist.NotFound("key")
}
