// Package config is Godwit's configuration: plain structs, their defaults, and a strict reader of the YAML file.
//
// A key that is not known, a value that cannot be read or is out of range, and settings that contradict each other are errors that
// name the file, the line, the key, what was wrong and what is allowed; all of them are told at once. Variables of the environment
// named GODWIT_SECTION__KEY replace what the file says. A duration of 0 is zero: only an absent key is the default. Secrets never
// appear in what String, YAML or JSON write.
package config

import (
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Config is the whole configuration. The tags min, max and oneof are checked by Check and by the reader.
type Config struct {
	Data         Path         `yaml:"data"`
	Auth         Auth         `yaml:"auth"`
	Listen       Listen       `yaml:"listen"`
	Admin        Admin        `yaml:"admin"`
	Limits       Limits       `yaml:"limits"`
	Push         Push         `yaml:"push"`
	Contacts     Contacts     `yaml:"contacts"`
	Registration Registration `yaml:"registration"`
	SMS          SMS          `yaml:"sms"`
	Cluster      Cluster      `yaml:"cluster"`
	Topics       Topics       `yaml:"topics"`
	Log          Log          `yaml:"log"`
}

// Auth says who may log in.
type Auth struct {
	Mode string `yaml:"mode" oneof:"token|jwt|open"`
	JWT  JWT    `yaml:"jwt"`
}

// JWT says which JSON Web Tokens (RFC 7519) are accepted as a password, beside the tokens that the broker issued.
type JWT struct {
	KeyFile  Path   `yaml:"key_file"` // public keys, PEM: Ed25519 or RSA of at least 2,048 bits; empty: none is accepted
	Audience string `yaml:"audience"` // what `aud` must name; empty: `aud` is not looked at
}

// The modes of Auth.
const (
	ModeToken = "token" // an address and a token that the broker issued, or a JWT where a key is configured
	ModeJWT   = "jwt"   // a JWT only
	ModeOpen  = "open"  // a login registers its address, any password; loopback only
)

// Listen says where the broker listens.
type Listen struct {
	MQTT          string `yaml:"mqtt"`  // empty: off
	MQTTS         string `yaml:"mqtts"` // MQTT over TLS; empty: off
	HTTP          string `yaml:"http"`  // with a certificate, TLS as well as plain: the first octet of a connection says which; empty: off
	Admin         string `yaml:"admin"`
	TLS           TLS    `yaml:"tls"`
	PublicURL     string `yaml:"public_url"`
	BehindProxy   bool   `yaml:"behind_proxy"`   // a proxy on the HTTP port ends TLS, and says in X-Forwarded-For whom it speaks for
	ProxyProtocol bool   `yaml:"proxy_protocol"` // connections on mqtt, mqtts and http begin with a PROXY header, version 1 or 2
}

// TLS is the certificate that the broker shows, and whose certificates it accepts as logins.
type TLS struct {
	CertFile     Path   `yaml:"cert_file"` // PEM, the leaf first
	KeyFile      Path   `yaml:"key_file"`
	ClientCAFile Path   `yaml:"client_ca_file"` // PEM: a client whose certificate one of these has signed is logged in as its common name
	Auto         string `yaml:"auto"`           // the host name to get certificates for by ACME (RFC 8555) instead
	ACME         string `yaml:"acme"`           // URL of the ACME directory
	ACMECAFile   Path   `yaml:"acme_ca_file"`   // PEM, of the ACME server; empty: the system's
}

// Admin is the operator's access over an address; a unix socket needs no token.
type Admin struct {
	Token Secret `yaml:"token"`
}

// Limits bound what clients can cost.
type Limits struct {
	Packet                Size     `yaml:"packet" min:"1KiB" max:"768KiB"` // the store keeps records of at most 1 MiB, and a message's grows with its trail
	Connections           int      `yaml:"connections" min:"1" max:"10000000"`
	KeepaliveMax          Duration `yaml:"keepalive_max" min:"10s" max:"18h"`
	Devices               int      `yaml:"devices" min:"1" max:"100"`
	SendRate              Rate     `yaml:"send_rate" min:"1/h" max:"1000000/s"`
	Inbox                 int      `yaml:"inbox" min:"1" max:"1000000"`
	InboxAge              Duration `yaml:"inbox_age" min:"1m" max:"3650d"`
	Notices               int      `yaml:"notices" min:"1" max:"100000"`
	History               Duration `yaml:"history" min:"0" max:"3650d"`
	ConnectionsPerAddress int      `yaml:"connections_per_address" min:"1" max:"10000000"`
	ConnectsPerAddress    Rate     `yaml:"connects_per_address" min:"1/s" max:"1000000/s"`
	DiskFree              Size     `yaml:"disk_free" min:"0" max:"1024TiB"`
}

// Push says how long a device may take before an SMS goes out.
type Push struct {
	AckTimeout   Duration `yaml:"ack_timeout" min:"50ms" max:"1h"`
	AfterMax     Duration `yaml:"after_max" min:"1s" max:"1d"`
	OfflineGrace Duration `yaml:"offline_grace" min:"0" max:"1h"`
	RestartGrace Duration `yaml:"restart_grace" min:"0" max:"1h"`
	StormHold    Duration `yaml:"storm_hold" min:"0" max:"1h"`
	Window       int      `yaml:"window" min:"1" max:"1000"`
}

// Contacts says what users may learn of one another.
type Contacts struct {
	Presence      string   `yaml:"presence" oneof:"mutual|book|off"`
	Debounce      Duration `yaml:"debounce" min:"0" max:"1h"`
	FullPer10d    int      `yaml:"full_per_10d" min:"0" max:"1000000000"`
	ChangesPerDay int      `yaml:"changes_per_day" min:"0" max:"1000000000"` // new numbers that a user may ask about
}

// Registration says how long a number counts as registered, and how it proves itself.
type Registration struct {
	Decay   Duration `yaml:"decay" min:"1h" max:"3650d"`
	CodeTTL Duration `yaml:"code_ttl" min:"1m" max:"1d"`
}

// Cluster says which NATS servers a cluster of brokers shares; empty: one machine.
type Cluster struct {
	NATS     string `yaml:"nats"`
	Replicas int    `yaml:"replicas" min:"1" max:"5"`
}

// Topics are those beside Godwit's own.
type Topics struct {
	Open []string `yaml:"open"` // filters that are plain MQTT, routed as any broker does
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" oneof:"debug|info|warn|error"`
	Format string `yaml:"format" oneof:"auto|console|json"`
}

// LetsEncrypt is the ACME directory that certificates come from unless another is configured.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Default is the configuration without a file: everything on loopback, ./godwit-data, open mode, SMS printed by the console gateway.
func Default() Config {
	cfg := defaults()
	cfg.Auth.Mode = ModeOpen
	return cfg
}

// defaults is what a key stands for that the file does not name.
func defaults() Config {
	const day = 24 * time.Hour
	return Config{
		Data:   "godwit-data",
		Auth:   Auth{Mode: ModeToken},
		Listen: Listen{MQTT: "127.0.0.1:1883", HTTP: "127.0.0.1:8080", Admin: "unix:", TLS: TLS{ACME: LetsEncrypt}},
		Limits: Limits{
			Packet: 64 << 10, Connections: 100_000, KeepaliveMax: Duration(20 * time.Minute), Devices: 8, SendRate: 20,
			Inbox: 10_000, InboxAge: Duration(30 * day), Notices: 1000, History: Duration(30 * day),
			ConnectionsPerAddress: 1000, ConnectsPerAddress: 100, DiskFree: 1 << 30,
		},
		Push: Push{
			AckTimeout: Duration(15 * time.Second), AfterMax: Duration(10 * time.Minute), OfflineGrace: Duration(10 * time.Second),
			RestartGrace: Duration(time.Minute), StormHold: Duration(2 * time.Minute), Window: 32,
		},
		Contacts:     Contacts{Presence: "mutual", Debounce: Duration(5 * time.Second), FullPer10d: 20_000, ChangesPerDay: 20_000},
		Registration: Registration{Decay: Duration(90 * day), CodeTTL: Duration(10 * time.Minute)},
		SMS:          defaultSMS(),
		Cluster:      Cluster{Replicas: 3},
		Log:          Log{Level: "info", Format: "auto"},
	}
}

// Socket returns the path of the operator's unix socket; empty when listen.admin is an address or off.
func (c Config) Socket() string {
	path, ok := strings.CutPrefix(c.Listen.Admin, "unix:")
	switch {
	case !ok:
		return ""
	case path == "":
		return filepath.Join(string(c.Data), "admin.sock")
	}
	return path
}

// PublicURL returns the address under which others reach the HTTP port.
func (c Config) PublicURL() string {
	if c.Listen.PublicURL != "" {
		return strings.TrimSuffix(c.Listen.PublicURL, "/")
	}
	return "http://" + c.Listen.HTTP
}

// IsLoopback reports whether only this machine reaches the address host:port.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
