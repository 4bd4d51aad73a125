package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/roompass/roompass/gateway"
	"github.com/roompass/roompass/gateway/access"
	"github.com/roompass/roompass/tokens"
	"github.com/roompass/roompass/web"
)

// ServeCmd runs the gateway. Its flags are in docs/configuration.md too.
type ServeCmd struct {
	Config configFile `help:"YAML file with a key for each flag, without the dashes." placeholder:"FILE"`
	Dev    bool       `help:"Try it: a key made on the spot, open access, the demo page at /."`

	Listen      string   `default:"127.0.0.1:8080" help:"Public address: the socket, the client, the keys."`
	AdminListen string   `default:"127.0.0.1:9090" help:"Operator's address: health, metrics, the operator's API. Keep it private."`
	AdminKey    []string `help:"Key of the operator's API, 16 characters or more; read:KEY may only look; repeatable, for rotation." placeholder:"KEY|@FILE"`

	Key          string        `help:"Private key that signs tokens: a PEM file, a directory of them, or the secret of HS256." placeholder:"FILE|DIR"`
	Alg          string        `enum:",RS512,RS256,ES256,EdDSA,HS256" default:"" help:"Algorithm: RS512 (default for RSA), RS256, ES256, EdDSA or HS256."`
	NoKid        bool          `help:"Sign without a key id, for verifiers that stumble over one."`
	TokenTTL     time.Duration `default:"5m" help:"How long a token lives."`
	TokenRefresh time.Duration `default:"4m" help:"How old a token gets before the next one is pushed; less than its life."`
	VerifierSkew time.Duration `default:"0s" help:"How far the media server's clock may be ahead."`
	Signers      int           `default:"0" help:"Signatures at a time; 0 is one a processor."`

	Access         string   `enum:"open,jwt,webhook" default:"open" help:"Who may enter: open lets everybody in, and is for development; jwt wants the app's own token; webhook asks the app."`
	AccessKey      string   `help:"Public keys of the app's tokens: a PEM file, or one with a JWK Set." placeholder:"FILE"`
	AccessJWKS     string   `name:"access-jwks" help:"Address of the app's JWK Set, in place of --access-key." placeholder:"URL"`
	AccessAlg      []string `help:"Algorithm that the app's tokens may have; repeatable. All that need no shared secret where it is not given." placeholder:"ALG"`
	AccessIssuer   string   `help:"What iss of the app's tokens has to be."`
	AccessAudience string   `help:"What aud of the app's tokens has to be, or to name."`
	AccessAnyRoom  bool     `help:"A token without room_ids opens every room, rather than none."`
	AccessCookie   string   `help:"Cookie whose value is the credential, where a page shows none; needs --origin." placeholder:"NAME"`

	AccessWebhook       string        `help:"Address at which the app is asked who may enter, at each join and before each token." placeholder:"URL"`
	AccessWebhookSecret []string      `help:"Secret that questions are signed with, whsec_ and base64, as in Standard Webhooks; repeatable, for rotation." placeholder:"SECRET|@FILE"`
	AccessWebhookHeader []string      `help:"Header of a socket's upgrade that the app is shown: Cookie or Authorization; repeatable, needs --origin." placeholder:"NAME"`
	AccessMaxStale      time.Duration `default:"15m" help:"How long people stay on the app's last answer while it can't be asked."`

	SessionMax   time.Duration `default:"12h" help:"How long a session lasts without a new credential."`
	InsecureOpen bool          `help:"Allow open access on an address that others reach."`
	Origin       []string      `help:"Origin that pages may connect from, beside the gateway's own; repeatable." placeholder:"https://APP"`

	TrustedProxy []string `help:"Proxy in front, by address or network: its X-Forwarded-For says where clients are; repeatable." placeholder:"CIDR"`

	Linger time.Duration  `default:"15s" help:"How long a member whose socket dropped stays in its rooms."`
	Drain  *time.Duration `help:"How long clients get to move away, at SIGTERM or when an operator drains the pod: 30s, with --dev 1s." placeholder:"30s"`
	PodID  string         `help:"This process's name, which no other may have; the host's name where it is not given, with --redis made unique."`

	Redis       string        `help:"Redis 7 or Valkey that the pods share their rooms by; without it this is the only pod. Several URLs are nodes of a cluster; with ?master_name=NAME they are sentinels." placeholder:"URL[,URL...]"`
	RedisCA     string        `help:"Certificates in PEM that may vouch for Redis over rediss://; the system's where it is not given." placeholder:"FILE"`
	RedisPrefix string        `default:"roompass:" help:"What all keys in Redis begin with."`
	Lease       time.Duration `default:"10s" help:"How long a pod that died counts as living."`

	Janus          []string `help:"Janus server to stand before, at /janus; repeatable." placeholder:"ws://HOST:PORT"`
	JanusPlugin    []string `help:"Plugin of Janus that browsers may attach; repeatable. janus.plugin.sfu alone where it is not given." placeholder:"NAME"`
	JanusToken     string   `help:"Janus's own token, which the gateway puts into each message." placeholder:"TOKEN|@FILE"`
	JanusAPISecret string   `name:"janus-api-secret" help:"Janus's API secret, the same." placeholder:"SECRET|@FILE"`
	JanusOptional  bool     `help:"Be ready although a Janus server is not, or lets in everybody."`

	MaxMessageBytes    int           `default:"65536" help:"Largest message from a client."`
	MaxDataBytes       int           `default:"4096" help:"Largest presence data of a member."`
	MaxRooms           int           `default:"16" help:"Rooms that one connection may be in."`
	MessageRate        float64       `default:"30" help:"Messages a second from one connection."`
	MessageBurst       int           `default:"60" help:"Messages at once beyond that rate."`
	MaxUnauthenticated int           `default:"64" help:"Sockets from one address that have not authenticated."`
	AuthTimeout        time.Duration `default:"5s" help:"How long a socket may take to authenticate."`
	Ping               time.Duration `default:"25s" help:"Between two pings of an idle connection; less than your proxy's timeout."`
	Pong               time.Duration `default:"10s" help:"How long the answer to a ping may take."`
	QueueBytes         int           `default:"1048576" help:"Bytes that may wait for one slow reader."`

	LogLevel  slog.Level `default:"info" help:"debug, info, warn or error."`
	LogFormat string     `enum:"text,json" default:"text" help:"text or json."`
}

// Run serves until ctx ends, then drains.
func (c *ServeCmd) Run(ctx context.Context, std stdio) error {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	c.nameThePod()
	log := c.logger(std.err)
	keys, err := c.keys(log)
	if err != nil {
		return usageError{err}
	}
	issuer, err := tokens.NewIssuer(tokens.IssuerConfig{Keys: keys, TTL: c.TokenTTL})
	if err != nil {
		return usageError{fmt.Errorf("--token-ttl: %w", err)}
	}
	registry := newRegistry()
	control, err := c.access(ctx, log, registry)
	if err != nil {
		return err
	}
	if app, ok := control.(interface{ Close() }); ok {
		defer app.Close()
	}
	admins, adminKey, err := c.adminKeys()
	if err != nil {
		return usageError{err}
	}
	shared, err := c.store(ctx, log, registry)
	if err != nil {
		return err
	}
	defer shared.rooms.Close()
	defer shared.rules.Close()
	front, err := c.janus(shared.homes)
	if err != nil {
		return usageError{err}
	}
	server, err := gateway.New(gateway.Config{
		Keys: keys, Issuer: issuer, Rooms: shared.rooms, Access: control, Rules: shared.rules, Janus: front,
		TokenTTL: c.TokenTTL, TokenRefresh: c.TokenRefresh, VerifierSkew: c.VerifierSkew, Signers: c.Signers,
		Pod: c.PodID, Version: buildVersion(), Drain: c.drain(), Origins: c.Origin, Client: web.Client(), Console: web.Console(), Logger: log, Registry: registry,
		Crash: c.crash(), AdminKeys: admins, TrustedProxies: c.TrustedProxy, Cookie: c.AccessCookie,
		Limits: gateway.Limits{
			MessageBytes: c.MaxMessageBytes, DataBytes: c.MaxDataBytes, Rooms: c.MaxRooms,
			MessageRate: c.MessageRate, MessageBurst: c.MessageBurst, Unauthenticated: c.MaxUnauthenticated,
			AuthTimeout: c.AuthTimeout, Ping: c.Ping, Pong: c.Pong, QueueBytes: c.QueueBytes, SessionMax: c.SessionMax,
		},
	})
	if err != nil {
		return usageError{err}
	}
	public, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w; choose another address", err)
	}
	defer public.Close()
	operator, err := net.Listen("tcp", c.AdminListen)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w; choose another address", err)
	}
	defer operator.Close()
	greeting := bufio.NewWriter(std.out)
	c.greet(greeting, log, public.Addr(), operator.Addr())
	greetOperator(greeting, operator.Addr(), adminKey)
	_ = greeting.Flush()

	pages := server.Public()
	if c.Dev {
		pages = withDemo(pages, server)
	}
	serving := serving{
		gateway: server, keys: keys, access: control, log: log,
		public:   &http.Server{Handler: pages, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
		operator: &http.Server{Handler: server.Operator(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second},
	}
	return serving.run(ctx, public, operator, c.drain())
}

// check finds combinations that can't be meant, in the words of the flags.
func (c *ServeCmd) check() error {
	switch {
	case !c.Dev && c.Key == "":
		return errors.New("--key is missing: make one with roompass keygen --out keys and pass --key keys, or try roompass serve --dev")
	case c.TokenRefresh <= 0:
		return errors.New("--token-refresh must be above zero")
	case c.TokenRefresh >= c.TokenTTL:
		return fmt.Errorf("--token-refresh %v must be less than --token-ttl %v: the time between is the margin in which a push may be tried again", c.TokenRefresh, c.TokenTTL)
	case c.VerifierSkew < 0 || c.TokenRefresh+c.VerifierSkew >= c.TokenTTL:
		return errors.New("--verifier-skew must not be negative, and --token-refresh with it must be less than --token-ttl")
	case c.Linger <= 0:
		return errors.New("--linger must be above zero")
	case c.Drain != nil && *c.Drain < 0:
		return errors.New("--drain must not be negative")
	case c.Lease < time.Second:
		return errors.New("--lease must be a second at least")
	case strings.ContainsAny(c.RedisPrefix, "{}") || c.RedisPrefix == "":
		return errors.New("--redis-prefix must be something without braces")
	case c.Signers < 0:
		return errors.New("--signers must not be negative")
	case c.zeroLimit() != "":
		return fmt.Errorf("%s 0 would let nothing through: leave it out for the default", c.zeroLimit())
	case c.Access == "open" && !c.InsecureOpen && !isLoopback(c.Listen):
		return fmt.Errorf("--access open lets everybody in, and others reach --listen %s: listen on 127.0.0.1, let people in by --access jwt, or say --insecure-open", c.Listen)
	}
	return c.checkAccess()
}

// zeroLimit names a limit that was set to 0, which the gateway would take for not set.
func (c *ServeCmd) zeroLimit() string {
	for _, limit := range []struct {
		flag string
		zero bool
	}{
		{"--max-message-bytes", c.MaxMessageBytes == 0}, {"--max-data-bytes", c.MaxDataBytes == 0},
		{"--max-rooms", c.MaxRooms == 0}, {"--message-rate", c.MessageRate == 0}, {"--message-burst", c.MessageBurst == 0},
		{"--max-unauthenticated", c.MaxUnauthenticated == 0}, {"--auth-timeout", c.AuthTimeout == 0},
		{"--ping", c.Ping == 0}, {"--pong", c.Pong == 0}, {"--queue-bytes", c.QueueBytes == 0}, {"--session-max", c.SessionMax == 0},
	} {
		if limit.zero {
			return limit.flag
		}
	}
	return ""
}

// isLoopback says whether only this machine reaches an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // net.Listen will say what is wrong with it
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *ServeCmd) logger(to io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, opts))
	}
	return slog.New(slog.NewTextHandler(to, opts))
}

// keys loads the keys, or with --dev makes one that nobody will need again.
func (c *ServeCmd) keys(log *slog.Logger) (*tokens.KeyRing, error) {
	opts := tokens.KeyOptions{Alg: c.Alg, NoKeyID: c.NoKid, Logger: log}
	if c.Key != "" {
		keys, err := tokens.LoadKeys(c.Key, opts)
		if err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
		return keys, nil
	}
	key, err := tokens.GenerateRSA(2048)
	if err != nil {
		return nil, err
	}
	keys, err := tokens.NewKeyRing(opts, key)
	if err != nil {
		return nil, fmt.Errorf("--alg: %w; give a --key for it", err)
	}
	return keys, nil
}

// nameThePod gives the pod a name if it has none. Pods that share Redis may share a host.
func (c *ServeCmd) nameThePod() {
	if c.PodID != "" {
		return
	}
	host, err := os.Hostname()
	if err != nil {
		host = "pod"
	}
	if c.Redis != "" {
		host += "-" + strings.ToLower(rand.Text()[:5])
	}
	c.PodID = host
}

func (c *ServeCmd) drain() time.Duration {
	switch {
	case c.Drain != nil:
		return *c.Drain
	case c.Dev:
		return time.Second
	default:
		return 30 * time.Second
	}
}

// greet says what to do next.
func (c *ServeCmd) greet(out io.Writer, log *slog.Logger, public, operator net.Addr) {
	if c.Dev {
		credential := "ann"
		switch c.Access {
		case "jwt":
			credential = "@FILE"
		case "webhook":
			credential = "LOGIN"
		}
		key := ", and a key that ends with this process"
		if c.Key != "" {
			key = ""
		}
		fmt.Fprintf(out, "roompass is up, for development: %[3]s access%[2]s.\n\n"+
			"  open  http://%[1]s/?room=lobby   in two tabs\n"+
			"  try   roompass watch --url ws://%[1]s/ws --room lobby --credential %[4]s\n\n", public, key, c.Access, credential)
	}
	log.Info("serving", "version", buildVersion(), "public", public.String(), "operator", operator.String(),
		"token_ttl", c.TokenTTL, "token_refresh", c.TokenRefresh, "access", c.Access)
	if c.Access == "open" && !isLoopback(c.Listen) {
		log.Warn("open access on an address that others reach: everybody may enter every room and kick")
	}
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "roompass_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": buildVersion()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// serving is a gateway with its listeners.
type serving struct {
	gateway          *gateway.Server
	keys             *tokens.KeyRing
	access           access.Control
	log              *slog.Logger
	public, operator *http.Server
}

// run serves until ctx ends. Then the gateway drains while tokens are still
// pushed and the operator can still look, and only then does everything stop.
func (s *serving) run(ctx context.Context, public, operator net.Listener, window time.Duration) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, working := errgroup.WithContext(working)
	group.Go(func() error { return s.gateway.Run(working) })
	group.Go(func() error { return s.followKeys(working) })
	for _, is := range []struct {
		server   *http.Server
		listener net.Listener
	}{{s.public, public}, {s.operator, operator}} {
		group.Go(func() error {
			if err := is.server.Serve(is.listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
			s.gateway.Drain(working, window)
		case <-working.Done(): // something else failed
		}
		stop()
		ending, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return errors.Join(closeServer(ending, s.public), closeServer(ending, s.operator))
	})
	err := group.Wait()
	s.log.Info("stopped")
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// closeServer lets requests that are being answered end, for as long as ctx.
func closeServer(ctx context.Context, server *http.Server) error {
	if err := server.Shutdown(ctx); err != nil {
		return server.Close()
	}
	return nil
}

// followKeys reloads the keys at SIGHUP and when their files change.
func (s *serving) followKeys(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.keys.Watch(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the keys can't be watched: send SIGHUP after a change", "error", err)
		}
		return nil
	})
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangup:
				if err := s.keys.Reload(); err != nil {
					s.log.Error("the new keys can't be read; the old ones go on signing", "error", err)
				} else {
					s.log.Info("keys read again at SIGHUP")
				}
				s.reloadAccess()
			}
		}
	})
	return group.Wait()
}
