// Command covered adds up the reports of tests, and says how many of the
// schema's links they covered.
package main

import (
	"fmt"
	"os"

	"github.com/hoist-sh/hoist/api/schematest"
)

func main() {
	report, err := schematest.ReadFiles(os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, " !   ", err)
		os.Exit(1)
	}
	fmt.Println(report)
	for _, wrong := range report.Wrong {
		fmt.Println(" !   ", wrong)
	}
}
