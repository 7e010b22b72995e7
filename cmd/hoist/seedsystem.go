package main

import (
	"fmt"
	"os"

	"github.com/hoist-sh/hoist"
	"github.com/hoist-sh/hoist/postgres"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

// systemCommand makes the platform's own app. It speaks to the database as its owner:
// the mark "system" gives the platform's privileges, and nobody gets
// it over the API.
func (c *seedCommand) systemCommand() *cobra.Command {
	return &cobra.Command{Use: "system EMAIL", Short: "Make the platform's own app, for an account", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := c.saved()
			if err != nil {
				return err
			}
			url, err := seed.OwnerURL(settings)
			if err != nil {
				return err
			}
			db, err := postgres.Open(cmd.Context(), url)
			if err != nil {
				return err
			}
			defer db.Close()
			made, err := db.MakeSystemApp(cmd.Context(), args[0], stackName(os.Getenv), hoist.Region)
			if err != nil {
				return err
			}
			if !made {
				fmt.Fprintf(cmd.OutOrStdout(), "The app %s is there already.\n", hoist.SystemApp)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Made the app %s.\n", hoist.SystemApp)
			return nil
		}}
}
