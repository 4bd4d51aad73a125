package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/roompass/roompass/rooms"
)

// Answers of the operator's API. Members are as clients see them.

type roomList struct {
	Rooms    []roomSummary `json:"rooms"`
	Next     string        `json:"next,omitempty"`
	Degraded bool          `json:"degraded,omitempty"`
}

type roomSummary struct {
	Room  string `json:"room"`
	Count int    `json:"count"`
}

type roomDetail struct {
	Room     string          `json:"room"`
	Count    int             `json:"count"` // of all members, those on other pages included
	Members  []watchedMember `json:"members"`
	Next     string          `json:"next,omitempty"`
	Degraded bool            `json:"degraded,omitempty"`
}

// A watchedMember is one with what an operator decided about its rights.
type watchedMember struct {
	wireMember
	Changed *changedRight `json:"changed,omitempty"`
}

// changedRight is those rights that are as an operator decided, and when the first of these decisions ends.
type changedRight struct {
	KickUsers *bool `json:"kick_users,omitempty"`
	JoinHub   *bool `json:"join_hub,omitempty"`
	Until     int64 `json:"until"`
}

// listRooms answers GET /v1/rooms. Each page looks at all rooms: a page is what
// is sent, not what it costs.
func (s *Server) listRooms(ctx context.Context, r *http.Request, _ *act) (any, error) {
	const kind = "rooms:"
	p, query, err := readPage(r, kind)
	if err != nil {
		return nil, err
	}
	apart := s.outage() > 0
	all, err := s.rooms.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	apart = apart || s.outage() > 0 // an outage may be noticed by the call itself
	prefix := query.Get("prefix")
	all = slices.DeleteFunc(all, func(r rooms.Summary) bool { return !strings.HasPrefix(r.Room, prefix) })
	part, next := cut(p, all,
		func(r rooms.Summary) bool { return r.Room > p.after },
		func(r rooms.Summary) string { return asPlace(kind, r.Room) })
	list := roomList{Rooms: make([]roomSummary, len(part)), Next: next, Degraded: apart}
	for i, r := range part {
		list.Rooms[i] = roomSummary{r.Room, r.Members}
	}
	return list, nil
}

// readRoom answers GET /v1/rooms/{room}. Members come in the order in which they
// joined, by their pods' clocks, so that a page has its place also when whoever
// it began after is gone.
func (s *Server) readRoom(ctx context.Context, r *http.Request, _ *act) (any, error) {
	const kind = "members:"
	room := r.PathValue("room")
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	p, _, err := readPage(r, kind)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.rooms.Snapshot(ctx, room)
	if err != nil {
		return nil, err
	}
	members := slices.Clone(snapshot.Members)
	slices.SortFunc(members, func(a, b rooms.Member) int {
		return cmp.Or(cmp.Compare(a.JoinedAt.UnixMilli(), b.JoinedAt.UnixMilli()), cmp.Compare(a.ID, b.ID))
	})
	part, next := cut(p, members,
		func(m rooms.Member) bool { return placeOfMember(m) > p.after },
		func(m rooms.Member) string { return asPlace(kind, placeOfMember(m)) })
	detail := roomDetail{Room: room, Count: len(members), Members: make([]watchedMember, len(part)), Next: next, Degraded: snapshot.Degraded}
	for i, m := range part {
		detail.Members[i] = s.asWatchedMember(room, m)
	}
	return detail, nil
}

func (s *Server) asWatchedMember(room string, m rooms.Member) watchedMember {
	w := watchedMember{wireMember: asWireMember(m)}
	if is := s.rules.On(m.User, m.ID, room); is.KickUsers != nil || is.JoinHub != nil {
		w.Changed = &changedRight{is.KickUsers, is.JoinHub, is.RightsUntil.UnixMilli()}
	}
	return w
}

// placeOfMember sorts as text as members are sorted: by when they joined, then by
// their ids.
func placeOfMember(m rooms.Member) string {
	return fmt.Sprintf("%016d %s", m.JoinedAt.UnixMilli(), m.ID)
}
