package rooms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DialRedis makes a client of the Redis that urls name, between commas, and checks that it
// is there and new enough. Each is redis://[user:password@]host:port[/db], or rediss:// for
// TLS. Several are nodes of one cluster, of which a single one is enough. With
// ?master_name=NAME they are sentinels of a primary of that name: user and password are the
// primary's, and the sentinels' own are &sentinel_username=NAME&sentinel_password=PASSWORD.
// A password before the @ of the form @FILE is read from a file.
//
// roots are the authorities that may vouch for it over TLS; nil: the system's.
//
// Errors don't contain the URL: it may hold a password.
func DialRedis(ctx context.Context, urls string, roots *x509.CertPool) (redis.UniversalClient, error) {
	var list []string
	for text := range strings.SplitSeq(urls, ",") {
		u, err := redisURL(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	client, err := newRedisClient(list, roots)
	if err != nil {
		return nil, err
	}
	if err := checkRedis(ctx, client); err != nil {
		_ = client.Close()
		return nil, err
	}
	if single, ok := client.(*redis.Client); ok && len(list) == 1 {
		// A single address may be that of a cluster's node.
		info, err := single.Info(ctx, "cluster").Result()
		if err == nil && strings.Contains(info, "cluster_enabled:1") {
			_ = client.Close()
			return newClusterClient(list, roots)
		}
	}
	return client, nil
}

func newRedisClient(list []string, roots *x509.CertPool) (redis.UniversalClient, error) {
	if strings.Contains(list[0], "master_name=") {
		o, err := parseSentinels(list)
		if err != nil {
			return nil, errBadRedisURL
		}
		trust(o.TLSConfig, roots)
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize = dialTimeout, commandTimeout, commandTimeout, poolSize
		o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
		return redis.NewFailoverClient(o), nil
	}
	if len(list) > 1 {
		return newClusterClient(list, roots)
	}
	o, err := redis.ParseURL(list[0])
	if err != nil {
		return nil, errBadRedisURL
	}
	trust(o.TLSConfig, roots)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize = dialTimeout, commandTimeout, commandTimeout, poolSize
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// poolSize is how many connections there are at most: some are left when all steps that are done
// at once have theirs.
const poolSize = atOnce + 16

// dialTimeout is how long a connection to Redis may take.
const dialTimeout = time.Second

var errBadRedisURL = errors.New("not a Redis URL: write redis://[user:password@]host:port[/db], or rediss:// for TLS")

func newClusterClient(list []string, roots *x509.CertPool) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(joinAddresses(list))
	if err != nil {
		return nil, errBadRedisURL
	}
	trust(o.TLSConfig, roots)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize = dialTimeout, commandTimeout, commandTimeout, poolSize
	// Redirections are followed, and nothing else is tried twice.
	o.ContextTimeoutEnabled, o.MaxRetries, o.MaxRedirects, o.DialerRetries = true, -1, 3, 1
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClusterClient(o), nil
}

// trust has certificates checked against roots, and each for the host that is dialed: the
// client library would check all of them for the first one.
func trust(c *tls.Config, roots *x509.CertPool) {
	if c != nil {
		c.RootCAs, c.ServerName = roots, ""
	}
}

// parseSentinels reads the URLs of sentinels. The client library takes the user in them for
// the sentinels', and knows the primary's by parameters.
func parseSentinels(list []string) (*redis.FailoverOptions, error) {
	u, err := url.Parse(joinAddresses(list))
	if err != nil {
		return nil, err
	}
	query := u.Query()
	name, password := query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	if is, ok := u.User.Password(); ok {
		query.Set("username", u.User.Username())
		query.Set("password", is)
	}
	u.RawQuery = query.Encode()
	u.User = nil
	o, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, err
	}
	o.SentinelUsername, o.SentinelPassword = name, password
	return o, nil
}

// joinAddresses makes one URL of several, as the client library wants them.
func joinAddresses(list []string) string {
	all := list[0]
	for _, text := range list[1:] {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		separator := "?"
		if strings.Contains(all, "?") {
			separator = "&"
		}
		all += separator + "addr=" + url.QueryEscape(u.Host)
	}
	return all
}

// passwordFile is a password that is the name of a file, written as it is or escaped.
var passwordFile = regexp.MustCompile(`^(rediss?://[^:/@]*:)(?:@|%40)([^@]+)(@.*)$`)

// redisURL checks one URL, and puts the password in that it names a file for.
func redisURL(text string) (string, error) {
	if m := passwordFile.FindStringSubmatch(text); m != nil {
		path, err := url.PathUnescape(m[2])
		if err != nil {
			return "", errBadRedisURL
		}
		secret, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("the password's file: %w", err)
		}
		text = m[1] + url.UserPassword("", strings.TrimRight(string(secret), "\r\n")).String()[1:] + m[3]
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") || u.Host == "" {
		return "", errBadRedisURL
	}
	return text, nil
}

// checkRedis says whether a Redis is there, and new enough: sharded publishing came with 7.0.
func checkRedis(ctx context.Context, client redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("redis doesn't answer: %w", err)
	}
	version := "unknown"
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			version = strings.TrimSpace(v)
		}
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return fmt.Errorf("redis %s is too old: 7.0 or later is needed, or Valkey", version)
	}
	return nil
}
