package seed

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// Who wants a seed to end that is just replaced wants no other one.
func TestASeedThatIsToEndIsNotReplaced(t *testing.T) {
	wrong := errors.New("the stars are wrong")
	for name, test := range map[string]struct {
		end      func(s Settings, cancel func()) error
		replaced bool
	}{
		"nobody":       {func(Settings, func()) error { return nil }, true},
		"cannot start": {func(Settings, func()) error { return wrong }, false},
		"signal":       {func(_ Settings, cancel func()) error { cancel(); return nil }, false},
		"asked": {func(s Settings, _ func()) error {
			_, err := call(t.Context(), s, http.MethodPost, "/stop")
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			const version = "0123456789ab"
			s := away(shortDir(t))
			err := errors.Join(os.Mkdir(s.file("system"), 0o700), os.WriteFile(s.seedProgram(version), nil, 0o700))
			if err != nil {
				t.Fatal(err)
			}
			s.haveCrashed(t, version, 1)
			defer debug.SetCrashOutput(nil, debug.CrashOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := Config{Settings: s, Version: version, Log: slog.New(slog.DiscardHandler)}
			cfg.Started = func() error {
				if n := s.crashes(version).N; n != 1 {
					t.Errorf("%d crashes are noted", n)
				}
				last.Load().stop(&Replacement{Path: s.file("next")})
				return test.end(s, cancel)
			}
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, cfg) }()
			select {
			case err = <-ended:
			case <-time.After(time.Minute):
				t.Fatal("it has not ended")
			}
			var r *Replacement
			if errors.As(err, &r) != test.replaced || r == nil && err != nil && err != wrong {
				t.Errorf("got %v", err)
			}
			if n := s.crashes(version).N; (n == 0) != (err != wrong) {
				t.Errorf("after that %d crashes are noted", n)
			}
		})
	}
}

// A seed that is replaced waits for the transfers of blobs; nobody is without the bus meanwhile.
func TestTheGroundEndsOneAfterTheOther(t *testing.T) {
	ended := make(chan string, 3)
	s := &Seed{log: slog.New(slog.DiscardHandler)}
	for name, takes := range map[string]time.Duration{"blobs": 300 * time.Millisecond, "nats": 100 * time.Millisecond, "postgres": 0} {
		task := &task{name: name, run: func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			time.Sleep(takes)
			ended <- name
			return nil
		}}
		s.ground = append(s.ground, task)
	}
	order := strings.Fields("postgres nats blobs")
	slices.SortFunc(s.ground, func(a, b *task) int { return slices.Index(order, a.name) - slices.Index(order, b.name) })
	end := s.keepGround(t.Context())
	for start := time.Now(); !up(s.ground); time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("it does not start")
		}
	}
	end()
	close(ended)
	var got []string
	for name := range ended {
		got = append(got, name)
	}
	if want := "blobs nats postgres"; strings.Join(got, " ") != want {
		t.Errorf("they ended in the order %v", got)
	}
}
