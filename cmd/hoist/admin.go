package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/api"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/spf13/cobra"
)

func init() {
	admin := &cobra.Command{
		Use:     "admin",
		Short:   "What only who runs the platform may do, straight in the database (DATABASE_URL)",
		GroupID: "platform",
		Hidden:  true,
	}
	admin.AddCommand(adminAccountCommand(), adminEmailCommand())
	commands = append(commands, admin)
}

func adminAccountCommand() *cobra.Command {
	var password bool
	var keyFile, token string
	cmd := &cobra.Command{
		Use:   "account EMAIL",
		Short: "Make an account, or give it a new password, key or token",
		Long: `Make an account if there is none with this e-mail address. With flags, also set
its password, add an SSH public key, or make an API token, which is printed.
It needs DATABASE_URL, not a running platform, and may be run again.`,
		Example: `$ hoist seed exec api hoist admin account ann@example.com --token "ann's laptop" --key ~/.ssh/id_ed25519.pub
$ echo 'correct horse' | hoist seed exec api hoist admin account ann@example.com --password-stdin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := openAdminDB(cmd, args)
			if err != nil {
				return err
			}
			defer db.Close()
			account, err := ensureAccount(cmd.Context(), db, args[0])
			if err != nil {
				return err
			}
			if password {
				line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
				if err != nil && line == "" {
					return fmt.Errorf("--password-stdin: %w", err)
				}
				hash, err := api.HashPassword(strings.TrimRight(line, "\r\n"))
				if err != nil {
					return err
				}
				if _, err := db.UpdateAccount(cmd.Context(), account.ID, hoist.AccountChange{PasswordHash: &hash}); err != nil {
					return err
				}
			}
			if keyFile != "" {
				text, err := os.ReadFile(keyFile)
				if err != nil {
					return err
				}
				if err := addKey(cmd.Context(), db, account, string(text)); err != nil {
					return err
				}
			}
			if token != "" {
				secret, err := createToken(cmd.Context(), db, account, token)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), secret)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&password, "password-stdin", false, "set the password to the first line of standard input")
	cmd.Flags().StringVar(&keyFile, "key", "", "add the SSH public key in `FILE`")
	cmd.Flags().StringVar(&token, "token", "", "make an API token with this `DESCRIPTION` and print it")
	return cmd
}

func adminEmailCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "email OLD NEW",
		Short: "Give an account another e-mail address",
		Long: `Give an account another e-mail address. The platform sends no mail: see yourself
that the new one is hers. Apps are shared with addresses, and passwords and
tokens given to them.`,
		Example: `$ hoist seed exec api hoist admin email ann@example.com ann@example.org`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, email := range args {
				if err := api.CheckEmail(email); err != nil {
					return err
				}
			}
			db, err := openAdminDB(cmd, args)
			if err != nil {
				return err
			}
			defer db.Close()
			account, err := db.Account(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = db.UpdateAccount(cmd.Context(), account.ID, hoist.AccountChange{Email: &args[1]})
			return err
		},
	}
}

// openAdminDB opens the platform's database for a command, or says how to run
// it where that is known.
func openAdminDB(cmd *cobra.Command, args []string) (*postgres.DB, error) {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return nil, fmt.Errorf("DATABASE_URL is not set. On the machine of the platform, as root: hoist seed exec api %s %s",
			cmd.CommandPath(), strings.Join(args, " "))
	}
	return postgres.Open(cmd.Context(), url)
}

// ensureAccount returns the account with an e-mail address, made if there is
// none. It brings the schema up to date first, so that it works before any API
// process has run.
func ensureAccount(ctx context.Context, db *postgres.DB, email string) (hoist.Account, error) {
	if err := api.CheckEmail(email); err != nil {
		return hoist.Account{}, err
	}
	if err := db.Migrate(ctx); err != nil {
		return hoist.Account{}, err
	}
	account, err := db.Account(ctx, email)
	if e, ok := hoist.AsError(err); !ok || !e.Is(hoist.ErrNotFound) {
		return account, err
	}
	if err := db.CreateAccount(ctx, hoist.Account{ID: hoist.NewID(), Email: email}); err != nil {
		return account, err
	}
	return db.Account(ctx, email)
}

// addKey adds an SSH public key, as in an .pub file, to an account.
func addKey(ctx context.Context, db *postgres.DB, account hoist.Account, text string) error {
	key, err := api.ParseKey(text)
	if err != nil {
		return err
	}
	key.AccountID = account.ID
	_, err = db.AddKey(ctx, key)
	return err
}

// createToken makes an API token with which all of the account can be done.
func createToken(ctx context.Context, db *postgres.DB, account hoist.Account, description string) (string, error) {
	token := api.NewToken()
	_, err := db.CreateAuthorization(ctx, hoist.Authorization{
		ID: hoist.NewID(), AccountID: account.ID, Description: description, Scope: []string{"global"}, TokenHash: api.HashToken(token),
	})
	return token, err
}
