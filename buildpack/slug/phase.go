package slug

import "fmt"

// Phase is a part of a compilation. Its number is the exit code of
// hoist-compile when that part failed.
type Phase int

// Phases, in order.
const (
	PhaseSettings Phase = 10 // a flag or variable is wrong
	PhaseFetch    Phase = 20 // source, buildpack or cache could not be fetched
	PhaseDetect   Phase = 30 // no buildpack knows the app
	PhaseCompile  Phase = 40 // a buildpack failed
	PhasePack     Phase = 50 // the Procfile is wrong or the slug too large
	PhaseUpload   Phase = 60 // slug or result could not be stored
)

func (p Phase) String() string {
	switch p {
	case PhaseSettings:
		return "settings"
	case PhaseFetch:
		return "fetch"
	case PhaseDetect:
		return "detect"
	case PhaseCompile:
		return "compile"
	case PhasePack:
		return "pack"
	case PhaseUpload:
		return "upload"
	}
	return fmt.Sprintf("phase %d", int(p))
}

// Error says in which phase a compilation failed.
type Error struct {
	Phase Phase
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func failed(p Phase, err error) error {
	if err == nil {
		return nil
	}
	return &Error{p, err}
}
