package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The bodies of other programs' webhooks that POST /to reads (docs/sending.md).
const (
	templateAlertmanager = "alertmanager"
	templateGrafana      = "grafana"
)

// parseTemplate reads the body of a webhook by the value of ?template=.
func parseTemplate(template string, body []byte) (letter, error) {
	switch template {
	case templateAlertmanager, templateGrafana:
		return parseAlerts(body)
	}
	return letter{}, fmt.Errorf("there is no template %.40q; there are alertmanager and grafana", template)
}

// parseNtfy reads what ntfy's clients publish as JSON. What says neither what to send nor how, such as priority, tags and icon, means nothing here.
func parseNtfy(body []byte) (l letter, err error) {
	members, err := parseObject(body)
	if err != nil {
		return l, err
	}
	var title, message, click string
	for _, m := range members {
		var to *string
		switch m.name {
		case fieldTopic, fieldTo:
			to = &l.to
		case "title":
			to = &title
		case fieldMessage, fieldText:
			to = &message
		case "click":
			to = &click
		default:
			if !isOption(m.name) {
				continue
			}
		}
		value, given, err := m.text()
		switch {
		case err != nil:
			return l, err
		case !given:
		case to == nil:
			err = l.set(m.name, value)
		case *to != "" && *to != value:
			err = fmt.Errorf("%s is given twice, and differently", m.name)
		default:
			*to = value
		}
		if err != nil {
			return l, err
		}
	}
	if strings.Contains(message, click) {
		click = ""
	}
	l.payload = []byte(lines(title, message, click))
	if len(l.payload) == 0 {
		return l, errNoText
	}
	return l, nil
}

// lines puts those that are not empty below one another.
func lines(all ...string) string {
	kept := all[:0]
	for _, line := range all {
		if line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// alerts is the body of Alertmanager's webhook, version 4. Grafana's is the same with a title beside it.
type alerts struct {
	Status            string            `json:"status"`
	GroupKey          string            `json:"groupKey"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	Truncated         int               `json:"truncatedAlerts"`
	Alerts            []alert           `json:"alerts"`
	Title             string            `json:"title"`
}

type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	Fingerprint string            `json:"fingerprint"`
}

func parseAlerts(body []byte) (l letter, err error) {
	if !utf8.Valid(body) {
		return l, errCharset
	}
	var a alerts
	d := json.NewDecoder(strings.NewReader(string(body)))
	if err := d.Decode(&a); err != nil {
		return l, fmt.Errorf("the body is no webhook of Alertmanager or Grafana: %w", badJSON(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return l, errors.New("something follows the JSON object")
	}
	if len(a.Alerts) == 0 {
		return l, errors.New("the body is no webhook of Alertmanager or Grafana: it has no alerts")
	}
	l.payload = []byte(a.text())
	return l, l.set(fieldKey, a.key())
}

// alertRoom is how many characters an alert's text has: with the sender's name before it, it is one SMS in GSM 7.
const alertRoom = 136

// text says what matters first, since the end is cut off where there is no room.
func (a *alerts) text() string {
	head := a.heading()
	if name := a.name(); name != "" {
		head += ": " + name
	}
	return clip(lines(head, a.summary(), a.of("instance")), alertRoom)
}

// heading says how many alerts fire and how many are over.
func (a *alerts) heading() string {
	firing, resolved := 0, 0
	for _, one := range a.Alerts {
		if one.Status == "resolved" || one.Status == "" && a.Status == "resolved" {
			resolved++
		} else {
			firing++
		}
	}
	if a.Status == "resolved" {
		resolved += a.Truncated
	} else {
		firing += a.Truncated
	}
	count := func(word string, n int) string {
		if n == 1 {
			return word
		}
		return fmt.Sprintf("%d %s", n, word)
	}
	switch {
	case resolved == 0:
		return count("FIRING", firing)
	case firing == 0:
		return count("RESOLVED", resolved)
	}
	return count("FIRING", firing) + ", " + count("RESOLVED", resolved)
}

func (a *alerts) name() string {
	if name := a.CommonLabels["alertname"]; name != "" {
		return name
	}
	if names := a.of("alertname"); names != "" {
		return names
	}
	return a.Title
}

// summary is what the rule's author wrote for people: for all alerts, or else for the first that fires.
func (a *alerts) summary() string {
	first := max(0, slices.IndexFunc(a.Alerts, func(one alert) bool { return one.Status != "resolved" }))
	for _, from := range []map[string]string{a.CommonAnnotations, a.Alerts[first].Annotations} {
		for _, name := range []string{"summary", "description"} {
			if text := strings.TrimSpace(from[name]); text != "" {
				return text
			}
		}
	}
	return ""
}

// shown is how many values of a label are told one by one.
const shown = 3

// of lists the values of a label.
func (a *alerts) of(label string) string {
	var values []string
	seen := map[string]bool{"": true}
	for _, one := range a.Alerts {
		if v := one.Labels[label]; !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	more := ""
	if n := len(values) - shown; n > 0 {
		more, values = fmt.Sprintf(" and %d more", n), values[:shown]
	}
	return strings.Join(values, ", ") + more
}

// key makes a webhook's retry the same message, and a change in the group another one: an alert is told apart from an earlier one of the same rule by its start.
func (a *alerts) key() string {
	h := sha256.New()
	field := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	field(a.GroupKey)
	field(a.Status)
	for _, one := range a.Alerts {
		field(one.Fingerprint)
		field(one.Status)
		field(one.StartsAt.UTC().Format(time.RFC3339Nano))
		if one.Fingerprint == "" {
			labels, err := json.Marshal(one.Labels) // in the order of their names
			if err == nil {
				field(string(labels))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// clip cuts a text to so many characters, and shows that it did by three points: an ellipsis is not in GSM 7 and would halve the room.
func clip(text string, room int) string {
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	kept := []rune(text)[:room-3]
	return strings.TrimRight(string(kept), " \n") + "..."
}
