package api

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
)

// Words of generated names. Short, and harmless in any order.
var (
	adjectives = strings.Fields(`amber ancient autumn bold brave bright calm clear cool crimson damp dark dawn
		deep dry early fierce floral frosty gentle golden green hidden icy late little lively long lunar mellow misty
		morning nameless noble pale patient polar proud quiet rapid restless rough secret shy silent small snowy
		solitary sparkling spring still stormy summer sunny swift tranquil twilight vast warm wandering white wild
		winter wispy young`)
	nouns = strings.Fields(`bay beach bird breeze brook bush canyon cherry cloud coast creek crane dawn dew dune
		dust ember feather fern field fire fjord flower fog forest frost garden glade glen grove harbor haze heron
		hill island lagoon lake leaf maple meadow mesa mist moon moss mountain oak ocean paper pebble pine plain
		pond prairie rain reef resonance ridge river sea shadow shape shore sky snow spruce star stone stream sun
		sunset surf thunder tide tundra valley violet voice water wave wildflower willow wind wood`)
)

// generateName is a name for an app nobody named, such as
// "misty-harbor-4711".
func generateName() string {
	return fmt.Sprintf("%s-%s-%04d", pick(adjectives), pick(nouns), below(10_000))
}

func pick(words []string) string { return words[below(len(words))] }

func below(n int) int {
	i, _ := rand.Int(rand.Reader, big.NewInt(int64(n))) // never fails (crypto/rand, Go 1.24)
	return int(i.Int64())
}
