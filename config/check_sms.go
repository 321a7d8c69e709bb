package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

var (
	region      = regexp.MustCompile(`^[A-Z]{2}$`)
	ownNumber   = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)
	prefix      = regexp.MustCompile(`^([1-9][0-9]{0,14}|\*)$`)
	senderName  = regexp.MustCompile(`^[A-Za-z0-9 ._-]{1,11}$`) // 3GPP TS 23.040 §9.1.2.5
	gatewayName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
)

func (c *checker) sms(s SMS) {
	if s.Region != "" && !region.MatchString(s.Region) {
		c.fail("sms.region", "%q is not a country of ISO 3166 in two capital letters, such as CN", s.Region)
	}
	if !senderName.MatchString(s.Originator) { // pool and user look like names
		c.fail("sms.originator", "%q is neither pool, user nor a name of 1 to 11 letters, digits and spaces", s.Originator)
	}
	if err := checkTemplate(s.Template); err != nil {
		c.fail("sms.template", "%v; the fields are {{.From}} and {{.Text}}", err)
	}
	if s.Retry.Max < s.Retry.First {
		c.fail("sms.retry.max", "%v is below sms.retry.first (%v)", s.Retry.Max, s.Retry.First)
	}
	for i, n := range s.Numbers {
		key := fmt.Sprintf("sms.numbers[%d]", i)
		c.number(key, n)
		if slices.Contains(s.Numbers[:i], n) {
			c.fail(key, "%q stands here twice", n)
		}
	}
	if s.ReplyQuiet > s.ReplyWindow {
		c.fail("sms.reply_quiet", "%v is above sms.reply_window (%v)", s.ReplyQuiet, s.ReplyWindow)
	}
	c.money(s)
	c.prefixes(s)
	c.stopWords(s.StopWords)
	c.gateways(s)
	c.routes(s)
}

func checkTemplate(text string) error {
	t, err := template.New("sms.template").Parse(text)
	if err != nil {
		return err
	}
	const mark = "\x00text\x00"
	var filled strings.Builder
	if err := t.Execute(&filled, struct{ From, Text string }{"+4915112345678", mark}); err != nil {
		return err
	}
	if !strings.Contains(filled.String(), mark) {
		return errors.New("the message itself, {{.Text}}, is not in it")
	}
	return nil
}

func (c *checker) number(key, n string) {
	if !ownNumber.MatchString(n) {
		c.fail(key, "%q is not a number in international form: 7 to 15 digits, country code first, without + and blanks", n)
	}
}

// money checks that prices and budgets are in one currency, and that a budget has prices to count in.
func (c *checker) money(s SMS) {
	type amount struct {
		key string
		Money
	}
	amounts := []amount{{"sms.budget.day", s.Budget.Day}, {"sms.budget.month", s.Budget.Month}}
	for _, p := range slices.Sorted(maps.Keys(s.Price)) {
		key, price := "sms.price."+p, s.Price[p]
		c.prefix(key, p)
		if price.Currency == "" {
			c.fail(key, "%q %v", "", errMoney)
		}
		amounts = append(amounts, amount{key, price})
	}
	amounts = slices.DeleteFunc(amounts, func(a amount) bool { return a.Currency == "" })
	for _, a := range amounts {
		if a.Micros < 0 {
			c.fail(a.key, "%v is below zero", a.Money)
		}
		if first := amounts[0]; a.Currency != first.Currency {
			c.fail(a.key, "%v is not in %s, as %s is; prices and budgets are in one currency", a.Money, first.Currency, first.key)
		}
	}
	if s.Budget != (Budget{}) && len(s.Price) == 0 {
		c.fail("sms.budget", `needs prices, or nobody knows what an SMS costs; set sms.price, for example {"*": 0.12 EUR}`)
	}
}

func (c *checker) prefix(key, p string) {
	if !prefix.MatchString(p) {
		c.fail(key, `%q is not a prefix; write the first digits of numbers, country code first and without + or 0, or "*" for all others`, p)
	}
}

// prefixes checks the lists of what may and may not be sent to.
func (c *checker) prefixes(s SMS) {
	for _, list := range []struct {
		key      string
		prefixes []string
	}{{"sms.allow", s.Allow}, {"sms.deny", s.Deny}} {
		for i, p := range list.prefixes {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			c.prefix(key, p)
			if slices.Contains(list.prefixes[:i], p) {
				c.fail(key, "%q stands here twice", p)
			}
			if list.key == "sms.deny" && slices.Contains(s.Allow, p) {
				c.fail(key, "%q stands in sms.allow too; keep one (allow: [] lets nothing out)", p)
			}
		}
	}
}

func (c *checker) stopWords(words []string) {
	for i, w := range words {
		key := fmt.Sprintf("sms.stop_words[%d]", i)
		switch {
		case w == "" || strings.TrimSpace(w) != w || strings.ContainsFunc(w, unicode.IsControl):
			c.fail(key, "%q is not a word that somebody can answer; write it without blanks around it", w)
		case slices.ContainsFunc(words[:i], func(o string) bool { return strings.EqualFold(o, w) }):
			c.fail(key, "%q stands here twice; case does not count", w)
		}
	}
}

// routes checks that each prefix has one route, and that each route leads to gateways that there are. A gateway without a route is no mistake:
// it may be there for what comes in.
func (c *checker) routes(s SMS) {
	names := make([]string, len(s.Gateways))
	for i, g := range s.Gateways {
		names[i] = g.Name
	}
	for i, r := range s.Routes {
		key := fmt.Sprintf("sms.routes[%d]", i)
		c.prefix(key+".prefix", r.Prefix)
		if slices.ContainsFunc(s.Routes[:i], func(o Route) bool { return o.Prefix == r.Prefix }) {
			c.fail(key+".prefix", "%q has an earlier route; put all its gateways into one, in the order in which they are tried", r.Prefix)
		}
		if len(r.Use) == 0 {
			c.fail(key+".use", "is empty; name the gateways that take this prefix. What must get no SMS stands in sms.deny")
		}
		for j, name := range r.Use {
			key := fmt.Sprintf("%s.use[%d]", key, j)
			if !slices.Contains(names, name) {
				c.fail(key, "%q is not the name of a gateway%s", name, meant(name, names))
			}
			if slices.Contains(r.Use[:j], name) {
				c.fail(key, "%q stands here twice", name)
			}
		}
	}
}

// meant ends a complaint about a word with the one that was meant, or with all there are.
func meant(word string, words []string) string {
	if near, ok := typo.Nearest(word, words); ok {
		return "; did you mean " + near + "?"
	}
	return "; there are " + strings.Join(words, ", ")
}
