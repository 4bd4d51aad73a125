package janus

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// consult reads a message for the SFU plugin, and has the rooms decide. It returns
// the body that Janus gets in place of the browser's, or nil for that itself; or
// what the browser is answered, and then Janus gets nothing.
func (t *talk) consult(ctx context.Context, r request) (body object, answers [][]byte) {
	if r.body == nil {
		return nil, nil // SDP alone, as where media is negotiated anew
	}
	refuse := func(why string) (object, [][]byte) { return nil, pluginRefusal(r, SFU, why) }
	raw := r.body.get("kind")
	if raw == nil {
		return nil, nil
	}
	var kind string
	if !readText(raw, &kind) {
		return nil, [][]byte{wrongType("kind").answer(r)}
	}
	m, wrong := readBody(r.body)
	if wrong != nil {
		return nil, [][]byte{wrong.answer(r)}
	}
	ctx, cancel := context.WithTimeout(ctx, enterTimeout)
	defer cancel()
	switch kind {
	case "join":
		return t.join(ctx, r, m)
	case "kick":
		place := t.visitor.In(m.room)
		if place == nil || !place.MayKick() {
			return refuse("Rejecting kick without permission!")
		}
		switch err := place.Kick(ctx, m.user); {
		case errors.Is(err, ErrNobody):
			// The plugin would look in all rooms. Where it finds nobody it answers so.
			return nil, pluginAnswer(r, SFU, object{{"success", jsontext.Value("true")}})
		case err != nil:
			return refuse("Rejecting kick: " + t.wordsFor(err))
		}
		if body = t.withToken(r.body, place); body == nil {
			return refuse(serverFull)
		}
		return body, nil
	case "data", "block", "unblock":
		place := t.visitor.In(t.attachment(r.handle).room)
		if place == nil {
			return refuse("Rejecting a message from outside of a room!")
		}
		if m.whom != "" {
			if is, err := place.Has(ctx, m.whom); err != nil || !is {
				return refuse("Rejecting a message to somebody who isn't in the room!")
			}
		}
		return nil, nil
	default:
		return nil, [][]byte{wrongType("kind").answer(r)}
	}
}

// join has the visitor be in the room, and the handle with it.
func (t *talk) join(ctx context.Context, r request, m sfuBody) (object, [][]byte) {
	refuse := func(why string) (object, [][]byte) { return nil, pluginRefusal(r, SFU, why) }
	if t.room != "" && m.room != t.room {
		return refuse(noPermission) // it may be on another server
	}
	place, err := t.visitor.Enter(ctx, m.room, m.user, m.token)
	if err != nil {
		return refuse(t.wordsFor(err))
	}
	t.entered()
	if m.media != "" {
		if is, err := place.Has(ctx, m.media); err != nil || !is {
			return refuse(noSuchPerson)
		}
	}
	body := t.withToken(r.body, place)
	if body == nil {
		return refuse(serverFull)
	}
	t.joined(r.handle, m.room, m.user)
	return body, nil
}

// withToken is a body with the place's newest token; nil where there is none.
func (t *talk) withToken(body object, place Place) object {
	token := place.Token(t.at.key())
	if token == "" {
		return nil
	}
	return body.with("token", quote(token))
}

// A sfuBody is what the front reads of a message's body.
type sfuBody struct{ room, user, media, token, whom string }

func readBody(body object) (m sfuBody, wrong *refusal) {
	for name, to := range map[string]*string{"room_id": &m.room, "user_id": &m.user, "token": &m.token, "whom": &m.whom} {
		if raw := body.get(name); raw != nil && !isNull(raw) && !readText(raw, to) {
			return m, wrongType(name)
		}
	}
	raw := body.get("subscribe")
	if raw == nil || isNull(raw) {
		return m, nil
	}
	if raw.Kind() != '{' {
		return m, wrongType("subscribe")
	}
	p := newParser(raw)
	var subscribe object
	if err := p.object(subscribeNames, func(name string) error { return p.field(&subscribe, name) }); err != nil {
		return m, invalidJSON(err)
	}
	if raw := subscribe.get("media"); raw != nil && !isNull(raw) && !readText(raw, &m.media) {
		return m, wrongType("media")
	}
	return m, nil
}

func isNull(raw jsontext.Value) bool { return raw.Kind() == 'n' }

// wordsFor are what the plugin would say.
func (t *talk) wordsFor(err error) string {
	switch {
	case errors.Is(err, ErrAnonymous):
		return noAnonymous
	case errors.Is(err, ErrToken):
		return badToken
	case errors.Is(err, ErrNotAllowed):
		return noPermission
	case errors.Is(err, ErrRoomFull):
		return roomFull
	default:
		t.front.config.Logger.Warn("somebody couldn't be let in", "error", err)
		return serverFull // it is tried again, as after a full server
	}
}
