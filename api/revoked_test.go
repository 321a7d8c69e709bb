package api_test

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A login that ends while its request is still coming sends nothing: whoever has the number now may be somebody else.
func TestRevokedWhileTheBodyComes(t *testing.T) {
	d := openDesk(t)
	body, rest := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", d.url+"/to/"+bob, body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(ann, d.tokens[ann])
	status := make(chan int, 1)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	if _, err := rest.Write([]byte("hel")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // sleep: nobody tells when the login was looked at
	if err := d.people.RevokeToken(t.Context(), ann, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := rest.Write([]byte("lo")); err != nil {
		t.Fatal(err)
	}
	rest.Close()
	if got := <-status; got != http.StatusUnauthorized {
		t.Errorf("status %d", got)
	}
}
