package cli

import (
	"fmt"
	"time"
)

// localTime is how Heroku's CLI prints a moment.
const localTime = "2006/01/02 15:04:05 -0700"

// roughly is a duration in its largest unit, as in "up for 10h".
func roughly(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// ago is a moment and how long it is past: "2026/11/22 13:20:00 +0000 (~ 3m ago)".
func (c *CLI) ago(t time.Time) string {
	now := c.Now()
	return fmt.Sprintf("%s (~ %s ago)", t.In(now.Location()).Format(localTime), roughly(now.Sub(t)))
}

// size is a number of bytes for people, as the compiler prints a slug's: "13M".
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	case n < 1<<20:
		return fmt.Sprintf("%dK", n>>10)
	case n < 10<<20:
		return fmt.Sprintf("%.1fM", float64(n)/(1<<20))
	case n < 10<<30:
		return fmt.Sprintf("%dM", n>>20)
	default:
		return fmt.Sprintf("%dG", n>>30)
	}
}
