package api

import (
	"net/http"
	"sync"

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
// Keys asked for are in recent; when it is full, those not asked for since it
// was empty are forgotten.
type limiters struct {
	perSecond rate.Limit
	burst     int

	mu              sync.Mutex
	recent, earlier map[string]*rate.Limiter
}

// recentMost is how many keys are recent; so many again are not yet forgotten.
const recentMost = 10_000

func newLimiters(perSecond float64, burst int) *limiters {
	return &limiters{perSecond: rate.Limit(perSecond), burst: burst, recent: map[string]*rate.Limiter{}}
}

// allow takes one of the key's tokens and returns how many are left.
func (l *limiters) allow(key string) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.recent[key]
	if limiter == nil {
		if limiter = l.earlier[key]; limiter == nil {
			limiter = rate.NewLimiter(l.perSecond, l.burst)
		}
		if len(l.recent) == recentMost {
			l.earlier, l.recent = l.recent, map[string]*rate.Limiter{}
		}
		l.recent[key] = limiter
	}
	ok = limiter.Allow()
	return max(int(limiter.Tokens()), 0), ok
}

func tooMany(message string) error {
	return &hoist.Error{ID: "rate_limit", Message: message, Status: http.StatusTooManyRequests}
}
