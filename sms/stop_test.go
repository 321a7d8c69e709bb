package sms_test

import (
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
)

var stopWords = []string{"STOP", "UNSUBSCRIBE", "TD", "退订", "arrêt", "STOP ALL", "Kündigen", "STOPΣ"}

func TestIsStop(t *testing.T) {
	for text, want := range map[string]bool{
		"STOP": true, "stop": true, "Stop": true, "sToP": true, "unsubscribe": true, "td": true, "Td": true, "退订": true,
		" STOP ": true, "STOP\r\n": true, "\u00a0STOP\u3000": true, "\u200bSTOP\ufeff": true, "STOP\x00": true,
		"STOP.": true, "STOP!!!": true, "\"STOP\"": true, "“Stop”": true, "'stop'": true, "(stop)": true, "¡STOP!": true, "*STOP*": true, "« stop »": true,
		"退订。": true, "退订！": true, "「退订」": true, "ＳＴＯＰ": true, "ｔｄ": true, "ＴＤ。": true,
		"ARRÊT": true, "arre\u0302t": true, "KÜNDIGEN": true, "stop all": true, "Stop  \n all.": true, "stopς": true,
		"": false, " ": false, "...": false, "STOPP": false, "please stop": false, "STOP it": false, "stop all of it": false, "ST OP": false, "ST.OP": false,
		"don't stop": false, "退": false, "我要退订": false, "t": false, "arret": false, "\xff": false, "STOP\xff": false, "0STOP": false, "🛑": false,
	} {
		if got := sms.IsStop(text, stopWords); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if sms.IsStop("", []string{"", " ", "."}) || sms.IsStop(".", []string{"!"}) || sms.IsStop("STOP", nil) {
		t.Error("nothing is a stop word")
	}
}

func TestStopConfirmation(t *testing.T) {
	languages := map[string][]string{
		"You will": {"STOP", "stop.", "Unsubscribe", "QUIT", "", "something else", "退"[:1]},
		"您已退订":     {"退订", "TD", "td", "ＴＤ", "退订。", "不要"},
		"您已退訂":     {"退訂"},
		"Sie ":     {"Stopp", "ABMELDEN"},
		"Vous ":    {"ARRÊT", "arret"},
		"Ya no ":   {"BAJA"},
		"Non ":     {"basta"},
		"Não ":     {"SAIR"},
		"U ":       {"afmelden"},
		"Nie ":     {"rezygnuję"},
		"Bu ":      {"iptal", "İPTAL"},
		"Вы ":      {"стоп", "Хватит"},
		"配信":       {"配信停止", "やめて"},
	}
	for begins, words := range languages {
		for _, word := range words {
			got := sms.StopConfirmation(word)
			if !strings.HasPrefix(got, begins) {
				t.Errorf("%q is confirmed with %q, want %q…", word, got, begins)
			}
			if segments, err := sms.Split(got); err != nil || len(segments) != 1 {
				t.Errorf("%q is no single segment: %v, %v", got, segments, err)
			}
			if sms.IsStop(got, stopWords) {
				t.Errorf("%q is a stop word itself", got)
			}
		}
	}
}

func FuzzIsStop(f *testing.F) {
	for _, s := range []string{"STOP", " ＳＴＯＰ。", "arre\u0302t", "\xff", strings.Repeat("\u0300", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		stop := sms.IsStop(text, stopWords)
		if stop != sms.IsStop(" \""+text+"\" ", stopWords) {
			t.Errorf("%q: spaces and quotes change it", text)
		}
		if segments, err := sms.Split(sms.StopConfirmation(text)); err != nil || len(segments) != 1 {
			t.Errorf("%q is not confirmed in one segment", text)
		}
	})
}
