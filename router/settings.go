package router

import (
	"cmp"
	"fmt"
	"time"
)

// Settings are the router's time-outs. The defaults are Heroku's where it has
// them (https://devcenter.heroku.com/articles/http-routing#timeouts).
type Settings struct {
	Connect   time.Duration // to a dyno, and trying again where nothing was sent: H19, H21
	FirstByte time.Duration // from the request's last byte to the response's first: H12
	Idle      time.Duration // between two bytes, either way, once there was one: H15, H28
	Service   time.Duration // instead of FirstByte and Idle for parts of the platform and their clients, which are silent while a build is
	Boot      time.Duration // how long requests wait for a starting dyno: H20
	Platform  time.Duration // how long requests wait for a process of the platform
	Head      time.Duration // for a request's head to arrive: 408
	KeepAlive time.Duration // between two requests of a client
	Drain     time.Duration // for what is being served when the router stops
}

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{
		Connect:   5 * time.Second,
		FirstByte: 30 * time.Second,
		Idle:      55 * time.Second,
		Service:   20 * time.Minute,
		Boot:      75 * time.Second,
		Platform:  10 * time.Second,
		Head:      15 * time.Second,
		KeepAlive: 90 * time.Second,
		Drain:     60 * time.Second,
	}
}

// SettingsFrom reads HOIST_ROUTER_CONNECT_TIMEOUT and its like ("5s", "2m")
// from an environment; what is not set has its default. That of Drain is drain
// unless it is 0.
func SettingsFrom(env func(string) string, drain time.Duration) (Settings, error) {
	s := DefaultSettings()
	s.Drain = cmp.Or(drain, s.Drain)
	for name, d := range map[string]*time.Duration{
		"CONNECT": &s.Connect, "FIRST_BYTE": &s.FirstByte, "IDLE": &s.Idle, "SERVICE": &s.Service, "BOOT": &s.Boot,
		"PLATFORM": &s.Platform, "HEAD": &s.Head, "KEEP_ALIVE": &s.KeepAlive, "DRAIN": &s.Drain,
	} {
		name = "HOIST_ROUTER_" + name + "_TIMEOUT"
		v := env(name)
		if v == "" {
			continue
		}
		var err error
		if *d, err = time.ParseDuration(v); err != nil || *d <= 0 {
			return s, fmt.Errorf("%s: %q is not a duration such as 30s", name, v)
		}
	}
	return s, nil
}
