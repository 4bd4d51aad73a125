package rooms

import (
	"encoding/json"
	"sync/atomic"
)

// maxStatus is how long what a pod reports may be: it goes along with every heartbeat.
const maxStatus = 4 << 10 // bytes

// report is what a pod says of itself.
type report struct {
	status atomic.Pointer[func() json.RawMessage] // nil: nothing
}

func (r *report) set(status func() json.RawMessage) { r.status.Store(&status) }

// now asks for the status as it is.
func (r *report) now() json.RawMessage {
	status := r.status.Load()
	if status == nil {
		return nil
	}
	return asStatus((*status)())
}

// asStatus is a status that may be handed on; nil where it isn't one.
func asStatus(text json.RawMessage) json.RawMessage {
	if len(text) > maxStatus || !json.Valid(text) {
		return nil
	}
	return text
}
