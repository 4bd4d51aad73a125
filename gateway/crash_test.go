package gateway

import (
	"testing"
	"testing/synctest"
)

// What a demo does on purpose, a stranger must not be able to.
func TestNobodyCrashesAPodThatIsNotForTryingOut(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		c := p.connect()
		for range 2 {
			if got := c.ask("crash", nil); got["code"] != codeUnknownType {
				t.Errorf("got %v, want %s", got, codeUnknownType)
			}
			c.ask("auth", message{"credential": "ann"})
		}
		if got := c.ask("join", message{"room": "r"}); got["type"] != "joined" {
			t.Errorf("the socket can't be used any more: %v", got)
		}
	})
}

func TestPodForTryingOutCrashesForWhoHasAuthenticated(t *testing.T) {
	crashed := 0
	inBubble(t, func(cfg *Config) { cfg.Crash = func() { crashed++ } }, func(t *testing.T, p *pod) {
		c := p.connect()
		if got := c.ask("crash", nil); got["code"] != codeNotAuthenticated || crashed != 0 {
			t.Errorf("before auth: %v, crashed %d times", got, crashed)
		}
		c.ask("auth", nil)
		c.send(message{"type": "crash"})
		synctest.Wait()
		if crashed != 1 {
			t.Errorf("crashed %d times, want once", crashed)
		}
	})
}

func TestWelcomeNamesThePod(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pod) {
		if got := p.connect().ask("auth", nil); got["pod"] != "test" {
			t.Errorf("welcome: %v", got)
		}
	})
}
