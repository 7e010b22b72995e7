package api

import (
	"net/http"
	"sync"
	"time"

	"github.com/hoist-sh/hoist"
	"golang.org/x/time/rate"
)

// Rates. Heroku's 4,500 requests an hour would starve a CLI that polls on a
// machine of one's own; these only stop what runs away.
const (
	requestsPerMinute = 1200
	requestBurst      = 4500
	loginsPerMinute   = 6
	loginBurst        = 10
)

// limiters is a rate limit for each of many keys, in this process's memory.
type limiters struct {
	perSecond rate.Limit
	burst     int

	mu sync.Mutex
	by map[string]*rate.Limiter
}

func newLimiters(perSecond float64, burst int) *limiters {
	return &limiters{perSecond: rate.Limit(perSecond), burst: burst, by: map[string]*rate.Limiter{}}
}

// allow takes one of the key's tokens and returns how many are left.
func (l *limiters) allow(key string) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.by[key]
	if limiter == nil {
		if len(l.by) >= 10_000 {
			l.forget()
		}
		limiter = rate.NewLimiter(l.perSecond, l.burst)
		l.by[key] = limiter
	}
	ok = limiter.Allow()
	return max(int(limiter.Tokens()), 0), ok
}

// forget drops the keys whose buckets are full again: they lose nothing.
func (l *limiters) forget() {
	for key, limiter := range l.by {
		if limiter.TokensAt(time.Now()) >= float64(l.burst) {
			delete(l.by, key)
		}
	}
}

func tooMany(message string) error {
	return &hoist.Error{ID: "rate_limit", Message: message, Status: http.StatusTooManyRequests}
}
