package kannel_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-7a41469f/godwit/clienttest/kannel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKannel: what is sent shows on a phone's screen, what is typed is got from the URL, over a restart too.
func TestKannel(t *testing.T) {
	got := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		got <- r.URL.RawQuery
	}))
	defer srv.Close()
	k := kannel.Start(t, kannel.Config{MOURL: srv.URL + "/?from=%p&to=%P&text=%b&coding=%c"})
	send := func(text string) {
		t.Helper()
		q := url.Values{"username": {k.Username}, "password": {k.Password}, "from": {"4915100000000"}, "to": {"+4917604069003"}, "text": {text}, "charset": {"UTF-8"}, "coding": {"0"}}
		resp, err := http.Get(k.SendURL + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || !bytes.HasPrefix(body, []byte("0:")) {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	defer http.DefaultClient.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	send("Tea at 4 €?")
	if m, err := k.Wait(ctx, 1); err != nil || m[0].To != "+4917604069003" || m[0].Text(false) != "Tea at 4 €?" {
		t.Fatalf("%+v, %v", m, err)
	}
	for text, want := range map[string]string{"Gladly": "Gladly&coding=0", "茶": "%836&coding=2"} {
		k.MO("4917604069003", "4915100000000", text)
		select {
		case q := <-got:
			if q != "from=4917604069003&to=4915100000000&text="+want {
				t.Errorf("%s", q)
			}
		case <-ctx.Done():
			t.Fatal("the MO did not come")
		}
	}
	k.Restart()
	send("again")
	if m, err := k.Wait(ctx, 2); err != nil || m[1].Text(false) != "again" {
		t.Fatalf("%+v, %v", m, err)
	}
}
