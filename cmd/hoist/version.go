package main

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/hoist-sh/hoist"
	"github.com/spf13/cobra"
)

func init() {
	commands = append(commands, &cobra.Command{
		Use: "version", Short: "Show the version of this program", GroupID: "account",
		Long: `Show the version of this program: the beginning of its SHA-256. The platform's
own is what hoist seed status shows.`,
		Example: "$ hoist version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "hoist %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	})
}

// version is the beginning of the SHA-256 of this program. A version written
// into it would make programs of the same source differ.
var version = sync.OnceValue(func() string {
	sum, err := hoist.FileSHA256("/proc/self/exe")
	if err != nil {
		return "unknown"
	}
	return sum[:12]
})
