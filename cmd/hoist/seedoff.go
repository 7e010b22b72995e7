package main

import (
	"time"

	"github.com/hoist-sh/hoist/oci"
	"github.com/hoist-sh/hoist/seed"
	"github.com/spf13/cobra"
)

// offGrace is how long dynos may take to end when the machine goes off. Whoever shuts it down waits.
const offGrace = 10 * time.Second

// offCommand ends the dynos when systemd, which has ended the seed, shuts the machine down. It would wait for
// them for a minute and a half: they outlive the seed, and some take no signal.
func (c *seedCommand) offCommand() *cobra.Command {
	return &cobra.Command{Use: "off", Hidden: true, Args: cobra.NoArgs, Short: "End the dynos if the machine goes off",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !seed.MachineStops(cmd.Context()) {
				return nil
			}
			settings, err := c.saved()
			if err != nil {
				return err
			}
			var engines []string
			for _, environ := range settings.EngineEnviron() {
				engines = append(engines, (&ground{environ: environ}).env("HOIST_ENGINE"))
			}
			oci.EndAll(cmd.Context(), engines, offGrace)
			return nil
		}}
}
