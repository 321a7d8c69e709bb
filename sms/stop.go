package sms

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// IsStop reports whether a text, all of it, is one of the stop words: without the spaces and the punctuation around it, in any case, and as full-width
// letters too (Unicode NFKC and simple case folding). What is in the middle of a text is never a stop word.
func IsStop(text string, words []string) bool {
	text = bare(text)
	for _, word := range words {
		if word = bare(word); word != "" && strings.EqualFold(text, word) {
			return true
		}
	}
	return false
}

// bare returns what matters of a text that may be a stop word.
func bare(text string) string {
	text = strings.TrimFunc(norm.NFKC.String(text), func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.P, unicode.C) })
	return strings.Join(strings.Fields(text), " ")
}

// StopConfirmation returns the text that confirms a stop word to who sent it, in the language of the word: English when it may be of any. It is one segment.
func StopConfirmation(word string) string {
	for _, l := range stopLanguages {
		if IsStop(word, l.words) {
			return l.confirmation
		}
	}
	for _, r := range word {
		switch {
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			return japanese
		case unicode.Is(unicode.Han, r):
			return chinese
		case unicode.Is(unicode.Cyrillic, r):
			return russian
		}
	}
	return english
}

// The languages that a script may stand for, too.
const (
	english  = "You will get no more SMS from this service."
	chinese  = "您已退订，将不再收到本服务的短信。"
	japanese = "配信を停止しました。今後このサービスからSMSは届きません。"
	russian  = "Вы больше не будете получать SMS от этого сервиса."
)

// stopLanguages are the words by which a language is known. STOP itself is used in all of them.
var stopLanguages = []struct {
	confirmation string
	words        []string
}{
	{english, []string{"STOP", "UNSUBSCRIBE", "STOPALL", "STOP ALL", "CANCEL", "END", "QUIT", "OPTOUT", "OPT OUT", "REVOKE"}},
	{chinese, []string{"TD", "T", "退订", "取消订阅", "拒收"}},
	{"您已退訂，將不再收到本服務的簡訊。", []string{"退訂", "取消訂閱", "拒絕"}},
	{japanese, []string{"停止", "配信停止", "解除"}},
	{"Sie erhalten keine SMS mehr von diesem Dienst.", []string{"STOPP", "ABMELDEN", "ABBESTELLEN", "ABMELDUNG"}},
	{"Vous ne recevrez plus de SMS de ce service.", []string{"ARRET", "ARRÊT", "ARRETER", "ARRÊTER", "DESABONNER", "DÉSABONNER"}},
	{"Ya no recibirá más SMS de este servicio.", []string{"BAJA", "ALTO", "PARAR", "CANCELAR", "DETENER"}},
	{"Non riceverai più SMS da questo servizio.", []string{"FERMA", "BASTA", "ANNULLA", "DISISCRIVI"}},
	{"Não receberá mais SMS deste serviço.", []string{"SAIR", "PARE", "DESCADASTRAR"}},
	{"U ontvangt geen sms meer van deze dienst.", []string{"STOPPEN", "AFMELDEN", "UITSCHRIJVEN"}},
	{"Nie otrzymasz już SMS z tej usługi.", []string{"REZYGNUJE", "REZYGNUJĘ", "WYPISZ"}},
	{"Bu hizmetten artık SMS almayacaksınız.", []string{"IPTAL", "İPTAL", "DUR"}},
	{russian, []string{"СТОП", "ОТПИСАТЬСЯ", "ОТМЕНА"}},
}
