package main

import (
	"testing"

	"github.com/coder/websocket"
)

func TestAcrossPodsOnlyTheFirstPodsClientsSpeak(t *testing.T) {
	l := newLoad(roompass{})
	l.conns = make([]*websocket.Conn, 40)
	if l.recipients() != roomSize-1 || !l.counts(0) || l.speaker(1) != 7 {
		t.Error("a load isn't of all clients")
	}
	l.roomSize, l.across = 2, true
	if l.recipients() != 1 || l.counts(0) || !l.counts(1) {
		t.Error("others count than those on the second pod")
	}
	spoken := map[int]bool{}
	for i := range 80 {
		spoken[l.speaker(i)] = true
		if l.speaker(i)%2 == 1 {
			t.Fatal("one on the second pod speaks")
		}
	}
	if len(spoken) != 20 {
		t.Errorf("%d of 20 speak", len(spoken))
	}
}

func TestLatencyIsFromWhenEachMessageInAFrameWasDue(t *testing.T) {
	l := newLoad(roompass{})
	l.take([]byte(`{"joined_at":1,"data":{"at":5,"x":""}}`+"\n"+`{"data":{"at":7,"x":""}}`), 0)
	if l.received.Load() != 2 || l.latencies().TotalCount() != 2 || l.err() != nil {
		t.Error(l.received.Load(), l.err())
	}
	l.take([]byte(`{"data":{"at":x,`), 0)
	if l.err() == nil {
		t.Error("a message that can't be read was taken")
	}
}
