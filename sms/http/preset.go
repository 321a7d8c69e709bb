package smshttp

import (
	"maps"
	"slices"
)

// Preset returns the description of a well-known gateway, to be completed with a name, credentials, URLs and, where presets lists it, the number; false:
// there is none of that kind. See WebhookConfig.Over.
func Preset(kind string) (WebhookConfig, bool) {
	c, ok := presets()[kind]
	return c, ok
}

// PresetKinds returns the kinds that Preset knows, sorted.
func PresetKinds() []string { return slices.Sorted(maps.Keys(presets())) }

func presets() map[string]WebhookConfig {
	return map[string]WebhookConfig{
		// Jasmin SMS Gateway, HTTP API (github.com/jookies/jasmin, misc/doc/sources/apis/http, and jasmin/protocols/http/endpoints/send.py).
		//
		// Checked there: the parameters and their limits; Success "id" and Error "…" as text; 400, 403, 412 and 500; a DLR has id and message_status,
		// at level 1 a command status (ESME_…), at level 2 a state of SMPP; an MO has id, from, to, content, coding and binary, long ones joined; both
		// are answered with 200 and exactly ACK/Jasmin, else they come again (3 times, every 30 s). It has no signatures: the callbacks bring ?key=.
		// It splits long texts itself, and asks for the DLR of the last segment only. A user over his throughput gets 403: keep rate below it.
		// On trust: that binary has the octets as the SMSC sent them, GSM 7 not packed. The secret goes to Jasmin in dlr-url; MOURL is for its HTTP
		// client connector.
		"jasmin": {
			URL: "http://127.0.0.1:1401/send",
			Body: `username={{.Username|urlquery}}&password={{.Password|urlquery}}&to={{.To}}{{if .From}}&from={{.From|urlquery}}{{end}}` +
				`&coding={{.DataCoding}}&hex-content={{.Hex}}{{if .Validity}}&validity-period={{minutes .Validity}}{{end}}` +
				`{{if .DLRURL}}&dlr=yes&dlr-level=3&dlr-method=POST&dlr-url={{printf "%s&ref=%s" .DLRURL .Ref|urlquery}}{{end}}`,
			Auth: "none", ID: `/^Success "([^"]+)"/`,
			DLR: WebhookDLR{ID: "$.id", Ref: "$.ref", State: "$.message_status", Map: map[string]string{"ESME_ROK": "enroute", "ESME_*": "undelivered"}},
			MO:  WebhookMO{From: "$.from", To: "$.to", Text: "$.content", ID: "$.id", Hex: "$.binary", Coding: "$.coding"}, Reply: "ACK/Jasmin",
		},

		// SMS Gateway for Android (github.com/capcom6/android-sms-gateway; its documentation is android-sms-gateway/docs-web), in cloud and private
		// mode; for local mode the URL is http://<phone>:8080/messages with allow_private.
		//
		// Checked there: the request; ids of our own, of at most 36 characters; TTL in seconds; Basic authentication, and bearer tokens; the events
		// and their payload with phoneNumber and, since February 2026, sender and recipient; X-Signature and X-Timestamp, made anew for each attempt
		// (PayloadSingingPlugin.kt); an answer other than 2xx lets an event come again for two days. A webhook is registered at the phone for each
		// event: either URL takes all of them. A long message has sms:delivered for each segment under one id.
		// On trust: 202 with {"id"} as the answer; that the numbers of senders are in international form; that the id of an event stays when it comes
		// again.
		"smsgate": {
			URL: "https://api.sms-gate.app/3rdparty/v1/messages",
			Body: `{"id":{{printf "%s-%d" .Ref .Attempt|json}},"textMessage":{"text":{{.Text|json}}},"phoneNumbers":[{{.To|plus|json}}]` +
				`{{if .Validity}},"ttl":{{.Validity}}{{end}},"withDeliveryReport":true}`,
			ID: "$.id", Signature: SignedBodyTime, Event: "$.event", Window: 1,
			DLR: WebhookDLR{ID: "$.payload.messageId", Ref: "$.payload.messageId", State: "$.event", To: "$.payload.recipient|$.payload.phoneNumber",
				Time: "$.payload.deliveredAt|$.payload.failedAt|$.payload.sentAt", Detail: "$.payload.reason",
				Map: map[string]string{"sms:sent": "enroute", "sms:delivered": "delivered", "sms:failed": "undelivered"}},
			MO: WebhookMO{Event: "sms:received", From: "$.payload.sender|$.payload.phoneNumber", Text: "$.payload.message", ID: "$.id",
				Time: "$.payload.receivedAt"},
		},

		// httpSMS (github.com/NdoleStudio/httpsms, docs.httpsms.com).
		//
		// Checked there: the request with request_id, and from, which is the phone's number; x-api-key; CloudEvents with the payloads of
		// message.phone.received, .sent and .delivered, message.send.failed and .expired; a bearer token with HS256 over the signing key, good for 10
		// minutes, which does not sign the content, so that the callbacks must come by HTTPS; one webhook for all events, and an answer from 400 on is
		// not repeated but told to its owner by mail.
		// On trust: {"data":{"id"}} as the answer.
		"httpsms": {
			URL:  "https://api.httpsms.com/v1/messages/send",
			Body: `{"from":{{.Number|plus|json}},"to":{{.To|plus|json}},"content":{{.Text|json}},"request_id":{{printf "%s-%d" .Ref .Attempt|json}}}`,
			Auth: "x-api-key", ID: "$.data.id", Signature: SignedJWT, Event: "$.type", Window: 1,
			DLR: WebhookDLR{ID: "$.data.id|$.data.message_id", Ref: "$.data.request_id", State: "$.type", To: "$.data.contact", Time: "$.data.timestamp",
				Detail: "$.data.error_message", Map: map[string]string{"message.phone.sent": "enroute", "message.phone.delivered": "delivered",
					"message.send.failed": "undelivered", "message.send.expired": "undelivered"}},
			MO: WebhookMO{Event: "message.phone.received", From: "$.data.contact", To: "$.data.owner", Text: "$.data.content",
				ID: "$.data.message_id", Time: "$.data.timestamp"},
		},

		// SmsForwarder (github.com/pppscn/SmsForwarder): the phone has an HTTP server of its own (safety measure "sign"), so the URL is
		// http://<phone>:5000/sms/send with allow_private, and hmac is the key of both its server and its webhook.
		//
		// Checked there (SmsController.kt, HttpServerUtils.kt, WebhookUtils.kt): the request; sign, escaped for a URL even in JSON; code 200 when the
		// phone took it, anything else may come after a part was sent and is unknown; no id and no DLR; the default form of the webhook (from,
		// content, timestamp, sign) and its tags; a repeated call has the same timestamp. The signature covers the timestamp only, so the callbacks
		// must come by HTTPS. content is what the phone's template made of the SMS: give the webhook
		// {"from":"[from]","text":"[org_content]","timestamp":"[timestamp]","sign":"[sign]"}.
		// On trust: that the numbers of senders are in international form.
		"smsforwarder": {
			Body: `{"data":{"sim_slot":1,"phone_numbers":{{.To|plus|json}},"msg_content":{{.Text|json}}},"timestamp":{{.Now}},` +
				`"sign":{{printf "%d\n%s" .Now .Key|hmac .Key|base64|urlquery|json}}}`,
			Auth: "none", Code: "$.code", OK: "200", Signature: SignedTime, Window: 1,
			MO: WebhookMO{From: "$.from", Text: "$.text|$.content"},
		},
	}
}
