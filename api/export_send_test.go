package api

// A Letter is what a body says, for tests from outside.
type Letter struct {
	To, Text string
	Fields   map[string]string
}

func told(l letter, err error) (Letter, error) {
	return Letter{l.to, string(l.payload), l.fields}, err
}

// ParseBody reads the body of POST /to/{address}.
func ParseBody(contentType string, body []byte) (Letter, error) {
	return told(parseBody(contentType, body))
}

// ParseNtfy reads the body of POST /to.
func ParseNtfy(body []byte) (Letter, error) { return told(parseNtfy(body)) }

// ParseTemplate reads the body of a webhook.
func ParseTemplate(template string, body []byte) (Letter, error) {
	return told(parseTemplate(template, body))
}
