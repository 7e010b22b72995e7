package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/hoist-sh/hoist"
)

// outputURL is where a build's output can be read by whoever was given the
// URL, as it comes. It is below the API's host, which every client of the API
// can reach.
func (s *Server) outputURL(id hoist.ID) string {
	return s.Public.API() + "builds/" + id + "/output?key=" + s.outputKey(id)
}

func (s *Server) outputKey(id hoist.ID) string {
	mac := hmac.New(sha256.New, s.SigningKey)
	mac.Write([]byte("build output " + id))
	return hex.EncodeToString(mac.Sum(nil))
}

// buildOutput writes a build's output as plain text, until the build ends.
func (s *Server) buildOutput(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("build")
	if uuid.Validate(id) != nil || !hmac.Equal([]byte(r.URL.Query().Get("key")), []byte(s.outputKey(id))) {
		s.fail(w, r, hoist.NotFound("build"))
		return
	}
	state, output, _, err := s.DB.BuildOutput(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if state.Done() && output != "" {
		io.WriteString(w, output)
		return
	}
	flush := http.NewResponseController(w)
	flush.Flush()
	s.relay(r.Context(), id, func(text string) bool {
		_, err := io.WriteString(w, text)
		return err == nil && flush.Flush() == nil
	})
}

// relay passes a build's output on until its end or until write fails. When
// the bus is away and the build ends meanwhile, what is missing comes from the
// database.
func (s *Server) relay(ctx context.Context, id hoist.ID, write func(text string) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.Bus.Tail(ctx, hoist.StreamBuilds+id, true)
	if err != nil {
		stream = nil // a nil channel only waits
	}
	shown := "" // the end of it
	resync := time.NewTicker(hoist.ResyncInterval)
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-stream:
			if !ok {
				stream = nil
				continue
			}
			var chunk hoist.BuildChunk
			if json.Unmarshal(m.Data, &chunk) != nil {
				continue
			}
			if chunk.Text != "" && !write(chunk.Text) {
				return
			}
			shown += chunk.Text
			shown = shown[max(len(shown)-hoist.Seam, 0):]
			if chunk.End != "" {
				return
			}
		case <-resync.C:
			state, output, reason, err := s.DB.BuildOutput(ctx, id)
			if err != nil || !state.Done() {
				continue
			}
			more := hoist.Rest(shown, output)
			switch {
			case more != "":
				write(more)
			case state == hoist.BuildCanceled && reason != "": // by git, which writes no streams
				write("\n" + banged(reason))
			}
			return
		}
	}
}
