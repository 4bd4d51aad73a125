package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/gateway/janus"
	"github.com/roompass/roompass/gateway/policy"
	"github.com/roompass/roompass/rooms"
	"github.com/roompass/roompass/tokens"
)

// A Server is one pod of the gateway. Its handlers serve while [Server.Run]
// runs; all methods may be called concurrently.
type Server struct {
	keys        *tokens.KeyRing
	issuer      *tokens.Issuer
	schedule    *tokens.Schedule
	rooms       rooms.Rooms
	access      access.Control
	reviewer    access.Reviewer // access, where it wants to be asked again; else nil
	rules       policy.Rules
	sealer      sealer
	pod         string
	life        string // this process, by a name that no other ever has
	version     string
	ttl         time.Duration // of tokens
	margin      time.Duration // that a token has left at least, when the next is due
	window      time.Duration // that an operator's draining gives clients
	limits      Limits
	origins     map[string]bool
	cookie      string // "" is none
	ambient     bool   // browsers prove by themselves who somebody is
	proxies     proxies
	client      fs.FS
	console     fs.FS // nil: there is none
	consolePage []byte
	janus       *janus.Front // nil: there is none
	admins      []AdminKey
	crash       func() // nil: nobody may ask for it
	log         *slog.Logger
	now         func() time.Time

	conns     *registry
	addresses *addresses
	metrics   *metrics
	running   sync.WaitGroup // readers and writers
	tasks     *tasks         // all other goroutines
	workers   *workers       // of those, the ones that do requests
	latest    recent         // how late tokens were
	looks     looks          // what operators read lately
	ready     atomic.Bool    // Run runs
	leaving   atomic.Bool    // it drains, and ends
	drained   atomic.Bool    // an operator wants it to drain
	undrain   func()         // ends that; obey's alone
}

// New makes a server. An error says what in cfg is wrong.
func New(cfg Config) (*Server, error) {
	if cfg.Keys == nil || cfg.Issuer == nil || cfg.Rooms == nil || cfg.Access == nil {
		return nil, errors.New("gateway: Keys, Issuer, Rooms and Access are required")
	}
	limits := cfg.Limits.withDefaults()
	if err := limits.check(); err != nil {
		return nil, err
	}
	setDefault(&cfg.TokenTTL, 5*time.Minute)
	setDefault(&cfg.TokenRefresh, 4*time.Minute)
	setDefault(&cfg.Drain, 30*time.Second)
	setDefault(&cfg.Logger, slog.Default())
	if cfg.TimeNow == nil {
		cfg.TimeNow = time.Now
	}
	if cfg.Rules == nil {
		cfg.Rules = policy.NewLocal(cfg.TimeNow)
	}
	s := &Server{
		keys: cfg.Keys, issuer: cfg.Issuer, rooms: cfg.Rooms, access: cfg.Access, limits: limits,
		pod: cfg.Pod, life: rand.Text(), version: cfg.Version, ttl: cfg.TokenTTL, window: cfg.Drain,
		sealer:  sealer{cfg.Keys},
		origins: map[string]bool{}, client: cfg.Client, console: cfg.Console, admins: cfg.AdminKeys, crash: cfg.Crash,
		log: cfg.Logger.With("pod", cfg.Pod), now: cfg.TimeNow,
		addresses: newAddresses(limits.Unauthenticated),
		rules:     cfg.Rules, tasks: newTasks(),
	}
	s.workers = newWorkers(s.tasks)
	s.reviewer, _ = cfg.Access.(access.Reviewer)
	var err error
	if s.console != nil {
		if s.consolePage, err = fs.ReadFile(s.console, "index.html"); err != nil {
			return nil, fmt.Errorf("the console: %w", err)
		}
	}
	for _, text := range cfg.Origins {
		origin, err := configuredOrigin(text)
		if err != nil {
			return nil, fmt.Errorf("--origin: %w", err)
		}
		s.origins[origin] = true
	}
	if err := s.takeCookie(cfg.Cookie); err != nil {
		return nil, err
	}
	if s.proxies, err = parseProxies(cfg.TrustedProxies); err != nil {
		return nil, err
	}
	if err := checkAdminKeys(cfg.AdminKeys); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(s, cfg)
	s.schedule, err = tokens.NewSchedule(tokens.ScheduleConfig{
		Minter: cfg.Issuer, TTL: cfg.TokenTTL, Refresh: cfg.TokenRefresh, VerifierSkew: cfg.VerifierSkew,
		Lead: s.lead(cfg.TokenRefresh), Signers: cfg.Signers, Logger: s.log,
		Observe: tokens.Observer{
			Signed: func(d time.Duration, err error) {
				s.metrics.sign.Observe(d.Seconds())
				if err != nil {
					s.metrics.signErrors.Inc()
				}
			},
			Lateness: func(d time.Duration) {
				s.metrics.lateness.Observe(d.Seconds())
				s.latest.see(s.now(), d)
			},
			Lapsed: func() {
				s.metrics.lapses.Inc()
				s.log.Error("a token lapsed: a connected member's newest token has expired")
			},
		},
	})
	if err != nil {
		return nil, err
	}
	// A peer that doesn't prove a token's delivery is closed early enough to
	// come back within the margin.
	s.margin = cfg.TokenTTL - cfg.TokenRefresh - cfg.VerifierSkew
	s.conns = newRegistry(limits.Ping, min(limits.Pong, s.margin/2))
	if cfg.Janus != nil {
		before := *cfg.Janus
		before.Rooms, before.Issuer, before.Others, before.Logger = visits{s}, s.issuer, s.janusElsewhere, s.log
		before.Ping, before.Pong = limits.Ping, limits.Pong
		if s.janus, err = janus.New(before); err != nil {
			return nil, fmt.Errorf("--janus: %w", err)
		}
		if cfg.Registry != nil {
			cfg.Registry.MustRegister(janusMetrics{s.janus})
		}
	}
	for _, name := range s.drainedServers() {
		s.janus.Drain(name, true)
	}
	s.rules.Follow(s.obey)
	if cluster, ok := s.rooms.(rooms.Cluster); ok {
		cluster.Report(s.report)
	}
	return s, nil
}

// Run pushes tokens and keeps connections alive until ctx ends, then closes what
// is open and waits for it. To let clients move away first, call [Server.Drain]
// before ctx ends.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.schedule.Run(ctx) })
	group.Go(func() error { s.conns.run(ctx.Done()); return nil })
	if s.janus != nil {
		group.Go(func() error { s.janus.Run(ctx); return nil })
	}
	s.ready.Store(true)
	<-ctx.Done()
	s.leaving.Store(true)
	s.ready.Store(false)
	s.closeAll()
	s.tasks.end()
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// countRooms counts this pod's members and the rooms that they are in.
func (s *Server) countRooms() (count, members int) {
	if counter, ok := s.rooms.(rooms.Counter); ok {
		return counter.Count()
	}
	return 0, 0
}

// outage is how long the shared view of the rooms has been out of reach; 0: it isn't.
func (s *Server) outage() time.Duration {
	if distant, ok := s.rooms.(rooms.Distant); ok {
		return distant.Outage()
	}
	return 0
}

// outageGrace is how long an outage lasts before the pod says that it isn't ready. It
// goes on serving in any case.
const outageGrace = 5 * time.Second
