package config

import "time"

// SMS is the way out when no device answers.
type SMS struct {
	Region          string           `yaml:"region"`
	Originator      string           `yaml:"originator"`
	Template        string           `yaml:"template"`
	MaxSegments     int              `yaml:"max_segments" min:"1" max:"255"`
	Validity        Duration         `yaml:"validity" min:"1m" max:"63d"`
	Retry           Retry            `yaml:"retry"`
	Unknown         Unknown          `yaml:"unknown"`
	ResponseTimeout Duration         `yaml:"response_timeout" min:"50ms" max:"10m"`
	DLRTimeout      Duration         `yaml:"dlr_timeout" min:"1s" max:"63d"`
	Caps            Caps             `yaml:"caps"`
	Budget          Budget           `yaml:"budget"`
	Price           map[string]Money `yaml:"price"` // of a segment, by prefix of the recipient; "*": all others
	Allow           []string         `yaml:"allow"` // prefixes, or "*"; the longest match of both lists decides
	Deny            []string         `yaml:"deny"`
	Numbers         []string         `yaml:"numbers"`
	ReplyWindow     Duration         `yaml:"reply_window" min:"1m" max:"365d"`
	ReplyQuiet      Duration         `yaml:"reply_quiet" min:"0" max:"30d"`
	StopWords       []string         `yaml:"stop_words"`
	Gateways        []Gateway        `yaml:"gateways"`
	Routes          []Route          `yaml:"routes"` // none: all gateways in their order
}

// The originators of an SMS that are no name.
const (
	OriginatorPool = "pool" // one of our own numbers
	OriginatorUser = "user" // the sender's own number: answers go to its phone
)

// Retry says how often and how fast a temporary failure is tried again.
type Retry struct {
	Tries  int      `yaml:"tries" min:"1" max:"100"`
	First  Duration `yaml:"first" min:"10ms" max:"1h"`
	Factor float64  `yaml:"factor" min:"1" max:"10"`
	Max    Duration `yaml:"max" min:"10ms" max:"1d"`
}

// Unknown says what happens to an SMS whose submit was not answered.
type Unknown struct {
	Hold Duration `yaml:"hold" min:"0" max:"1d"`
	Then string   `yaml:"then" oneof:"fail|resend"`
}

// Caps bound how many messages go out as SMS.
type Caps struct {
	SenderDay    int `yaml:"sender_day" min:"1" max:"1000000000"`
	RecipientDay int `yaml:"recipient_day" min:"1" max:"1000000000"`
	PrefixHour   int `yaml:"prefix_hour" min:"1" max:"1000000000"` // by country calling code
	LoopHour     int `yaml:"loop_hour" min:"1" max:"1000000000"`   // answers within 5 s of one peer's SMS, which machines give
}

// Budget bounds what SMS may cost, by days and months of UTC. No currency: no bound; an amount of 0: nothing that costs.
type Budget struct {
	Day   Money `yaml:"day"`
	Month Money `yaml:"month"`
}

// A Route names the gateways of a prefix, the first choice first. The route of the longest prefix takes a number.
type Route struct {
	Prefix string   `yaml:"prefix"` // digits, or "*" for all others
	Use    []string `yaml:"use"`
}

// A Gateway is a way to a carrier. Which keys it takes depends on its kind, see Kinds; DefaultGateway has the defaults.
type Gateway struct {
	Name   string `yaml:"name"`
	Kind   string `yaml:"kind"`
	Number string `yaml:"number,omitempty"`                      // its SMS come from this number whatever the originator is, as a modem's do
	Window int    `yaml:"window,omitempty" min:"1" max:"1000"`   // submits under way at once; of smpp: a session
	Rate   Rate   `yaml:"rate,omitempty" min:"0" max:"100000/s"` // segments; 0: no limit

	// smpp
	Addr       string   `yaml:"addr,omitempty"`
	Bind       string   `yaml:"bind,omitempty" oneof:"transceiver|pair"`
	SystemID   string   `yaml:"system_id,omitempty"`
	SystemType string   `yaml:"system_type,omitempty"`
	TLS        bool     `yaml:"tls,omitempty"`
	TLSCAFile  Path     `yaml:"tls_ca_file,omitempty"` // PEM; empty: the system's
	Sessions   int      `yaml:"sessions,omitempty" min:"1" max:"100"`
	Enquire    Duration `yaml:"enquire,omitempty" min:"1s" max:"10m"`
	Concat     string   `yaml:"concat,omitempty" oneof:"udh8|udh16|sar|payload"`
	ResponseID string   `yaml:"response_id,omitempty" oneof:"text|hex|decimal"` // how the SMSC writes message ids in answers
	ReceiptID  string   `yaml:"receipt_id,omitempty" oneof:"text|hex|decimal"`  // and in delivery reports

	// kannel, twilio, webhook and its presets
	URL            string            `yaml:"url,omitempty"`
	Username       string            `yaml:"username,omitempty"`
	Password       Secret            `yaml:"password,omitempty"` // of smpp too
	Account        string            `yaml:"account,omitempty"`
	Token          Secret            `yaml:"token,omitempty"`
	HMAC           Secret            `yaml:"hmac,omitempty"`            // key that signs requests and callbacks
	CallbackSecret Secret            `yaml:"callback_secret,omitempty"` // what callbacks carry as ?key=
	SMSC           string            `yaml:"smsc,omitempty"`
	Method         string            `yaml:"method,omitempty" oneof:"GET|POST|PUT|PATCH"`
	Headers        map[string]Secret `yaml:"headers,omitempty"` // often API keys, so none is shown
	ContentType    string            `yaml:"content_type,omitempty"`
	Body           string            `yaml:"body,omitempty"`
	ID             string            `yaml:"id,omitempty"`                                                  // JSON path of the id in the answer, or /a regular expression/
	Auth           string            `yaml:"auth,omitempty"`                                                // none, or the header that carries Token as it is
	Signature      string            `yaml:"signature,omitempty" oneof:"body|body+timestamp|timestamp|jwt"` // how HMAC signs
	Code           string            `yaml:"code,omitempty"`                                                // JSON path of the word in the answer that says whether the SMS was taken
	OK             string            `yaml:"ok,omitempty"`                                                  // that word when it was
	Classes        map[string]string `yaml:"classes,omitempty"`                                             // what other words, and HTTP statuses, mean
	Event          string            `yaml:"event,omitempty"`                                               // JSON path of the word that says what a callback is about
	Reply          string            `yaml:"reply,omitempty"`                                               // the body of our answer to a callback
	DLR            CallbackDLR       `yaml:"dlr,omitempty"`
	MO             CallbackMO        `yaml:"mo,omitempty"`
	AllowPrivate   bool              `yaml:"allow_private,omitempty"`

	// gammu
	Dir Path `yaml:"dir,omitempty"`
}

// A CallbackDLR says where a delivery report that calls back has what: JSON paths; a form is an object of texts.
type CallbackDLR struct {
	ID     string            `yaml:"id,omitempty"`
	State  string            `yaml:"state,omitempty"`
	Ref    string            `yaml:"ref,omitempty"` // our own reference, where the carrier echoes it
	Map    map[string]string `yaml:"map,omitempty"` // the carrier's word for a state: delivered, undelivered or enroute
	To     string            `yaml:"to,omitempty"`
	Time   string            `yaml:"time,omitempty"`
	Detail string            `yaml:"detail,omitempty"`
}

// A CallbackMO says where an SMS that calls back has what.
type CallbackMO struct {
	Event  string `yaml:"event,omitempty"` // the word of Gateway.Event that says that it is one
	From   string `yaml:"from,omitempty"`
	To     string `yaml:"to,omitempty"`
	Text   string `yaml:"text,omitempty"`
	ID     string `yaml:"id,omitempty"`
	Time   string `yaml:"time,omitempty"`
	Hex    string `yaml:"hex,omitempty"`    // the octets in hexadecimal digits, where there are such
	Coding string `yaml:"coding,omitempty"` // their data coding
}

// AnswersTo returns the number to which an MO of a gateway came that does not say so: the gateway's, or the only one of Numbers; empty: it is not known.
func (s SMS) AnswersTo(g Gateway) string {
	if g.Number == "" && len(s.Numbers) == 1 {
		return s.Numbers[0]
	}
	return g.Number
}

func defaultSMS() SMS {
	const day = 24 * time.Hour
	return SMS{
		Originator: OriginatorPool, Template: "{{.From}}: {{.Text}}", MaxSegments: 6, Validity: Duration(day),
		Retry:           Retry{Tries: 6, First: Duration(5 * time.Second), Factor: 2, Max: Duration(10 * time.Minute)},
		Unknown:         Unknown{Hold: Duration(2 * time.Minute), Then: "fail"},
		ResponseTimeout: Duration(10 * time.Second), DLRTimeout: Duration(2 * day),
		Caps:  Caps{SenderDay: 500, RecipientDay: 200, PrefixHour: 2000, LoopHour: 5},
		Allow: []string{"*"}, Deny: []string{"979", "870", "881", "882", "883"}, // premium rate, satellites and networks without a country (ITU-T E.164)
		ReplyWindow: Duration(3 * day), ReplyQuiet: Duration(time.Hour), StopWords: []string{"STOP", "UNSUBSCRIBE", "TD", "退订"},
		Gateways: []Gateway{{Name: "console", Kind: KindConsole}},
	}
}
