package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

type keysCommand struct {
	*CLI
	json, long bool
}

func (c *CLI) keys() *cobra.Command {
	k := &keysCommand{CLI: c}
	cmd := &cobra.Command{
		Use: "keys", Short: "List your SSH keys", Example: "$ hoist keys", Args: args(cobra.NoArgs), RunE: k.run,
	}
	jsonFlag(cmd, &k.json)
	cmd.Flags().BoolVarP(&k.long, "long", "l", false, "print whole keys")
	return cmd
}

func (k *keysCommand) run(cmd *cobra.Command, _ []string) error {
	api, err := k.client()
	if err != nil {
		return err
	}
	all, err := list[key](cmd.Context(), api, "/account/keys", "", 0)
	if err != nil {
		return err
	}
	if k.json {
		return k.printJSON(all)
	}
	if len(all) == 0 {
		k.say("You have no SSH keys. `hoist keys:add` adds one.")
		return nil
	}
	rows := [][]string{}
	for _, item := range all {
		if k.long {
			rows = append(rows, []string{strings.TrimSpace(item.V.PublicKey)})
		} else {
			rows = append(rows, []string{item.V.Comment, item.V.Fingerprint})
		}
	}
	k.columns(rows)
	return nil
}

type keysAddCommand struct{ *CLI }

func (c *CLI) keysAdd() *cobra.Command {
	k := &keysAddCommand{c}
	return &cobra.Command{
		Use: "keys:add [FILE]", Short: "Add an SSH key, by default your own",
		Example: "$ hoist keys:add\n$ hoist keys:add ~/.ssh/work.pub", Args: args(cobra.MaximumNArgs(1)), RunE: k.run,
	}
}

func (k *keysAddCommand) run(cmd *cobra.Command, args []string) error {
	api, err := k.client()
	if err != nil {
		return err
	}
	file := ""
	if len(args) == 1 {
		file = args[0]
	} else if file, err = ownKey(filepath.Join(k.Env("HOME"), ".ssh")); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), "PRIVATE KEY") {
		return fmt.Errorf("%s is a private key: keep it to yourself. The public one is in %s.pub.", file, file)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return fmt.Errorf("%s is no SSH public key. `ssh-keygen -t ed25519` makes a pair.", file)
	}
	return k.doing("Adding "+file+", "+ssh.FingerprintSHA256(public), func() (string, error) {
		return "", api.post(cmd.Context(), "/account/keys", map[string]string{"public_key": strings.TrimSpace(string(text))}, nil)
	})
}

// ownKey finds the public key in a directory that ssh would use first.
func ownKey(dir string) (string, error) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa", "ed25519_sk", "ecdsa_sk"} {
		file := filepath.Join(dir, "id_"+kind+".pub")
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pub"))
	switch len(files) {
	case 0:
		return "", fmt.Errorf("There is no public key in %s. `ssh-keygen -t ed25519` makes one.", dir)
	case 1:
		return files[0], nil
	}
	return "", usagef("There are several public keys: %s. Choose one: hoist keys:add FILE", strings.Join(files, ", "))
}

type keysRemoveCommand struct{ *CLI }

func (c *CLI) keysRemove() *cobra.Command {
	k := &keysRemoveCommand{c}
	return &cobra.Command{
		Use: "keys:remove COMMENT|FINGERPRINT", Short: "Remove an SSH key",
		Example: "$ hoist keys:remove me@laptop", Args: args(cobra.ExactArgs(1)), RunE: k.run,
	}
}

func (k *keysRemoveCommand) run(cmd *cobra.Command, args []string) error {
	api, err := k.client()
	if err != nil {
		return err
	}
	id, err := findKey(cmd.Context(), api, args[0])
	if err != nil {
		return err
	}
	return k.doing("Removing "+args[0], func() (string, error) {
		return "", api.delete(cmd.Context(), "/account/keys/"+url.PathEscape(id), nil)
	})
}

func findKey(ctx context.Context, api *client, word string) (id string, err error) {
	all, err := list[key](ctx, api, "/account/keys", "", 0)
	if err != nil {
		return "", err
	}
	var names []string
	for _, item := range all {
		if word == item.V.Comment || word == item.V.Fingerprint || word == item.V.ID {
			if id != "" {
				return "", usagef("Several keys are called %s. Give the fingerprint; `hoist keys` lists them.", word)
			}
			id = item.V.ID
		}
		names = append(names, item.V.Comment, item.V.Fingerprint)
	}
	if id == "" {
		message := "You have no key " + word + "."
		if near := nearest(word, names); near != "" {
			message += "\nDid you mean " + near + "?"
		}
		return "", errors.New(message)
	}
	return id, nil
}
