package killloop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest/killloop"
)

func TestLedger(t *testing.T) {
	p := killloop.Pair{Sender: 1, Receiver: 2}
	for _, c := range []struct {
		name  string
		tell  func(*killloop.Ledger)
		want  killloop.Report
		check string // a part of the error; "": none
	}{
		{
			name:  "nothing happened",
			tell:  func(*killloop.Ledger) {},
			check: "nothing was tested",
		},
		{
			name: "delivered twice under one id is at least once",
			tell: func(l *killloop.Ledger) { l.Acknowledged(p, 0); l.Arrived(p, 0, "A"); l.Arrived(p, 0, "A") },
			want: killloop.Report{Acknowledged: 1, Arrived: 1, Copies: 1},
		},
		{
			name:  "two ids",
			tell:  func(l *killloop.Ledger) { l.Acknowledged(p, 0); l.Arrived(p, 0, "A"); l.Arrived(p, 0, "B") },
			want:  killloop.Report{Acknowledged: 1, Arrived: 1, Copies: 1, CreatedTwice: 1},
			check: "created twice: 1",
		},
		{
			name:  "never arrived",
			tell:  func(l *killloop.Ledger) { l.Acknowledged(p, 0); l.Acknowledged(p, 1); l.Arrived(p, 0, "A") },
			want:  killloop.Report{Acknowledged: 2, Arrived: 1, Lost: 1},
			check: "lost: 1",
		},
		{
			name: "a gap is no disorder, and a copy of an earlier one neither",
			tell: func(l *killloop.Ledger) {
				l.Acknowledged(p, 0)
				l.Arrived(p, 0, "A")
				l.Arrived(p, 7, "B")
				l.Arrived(p, 0, "A")
			},
			want: killloop.Report{Acknowledged: 1, Arrived: 2, Copies: 1},
		},
		{
			name:  "first delivery after a later one",
			tell:  func(l *killloop.Ledger) { l.Acknowledged(p, 1); l.Arrived(p, 1, "B"); l.Arrived(p, 0, "A") },
			want:  killloop.Report{Acknowledged: 1, Arrived: 2, OutOfOrder: 1},
			check: "out of order: 1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := killloop.NewLedger()
			c.tell(l)
			r := l.Report()
			err := r.Check()
			r.Examples = nil
			if !sameCounts(r, c.want) {
				t.Errorf("\n got %+v\nwant %+v", r, c.want)
			}
			if (err == nil) != (c.check == "") || err != nil && !contains(err, c.check) {
				t.Errorf("check: %v", err)
			}
		})
	}
}

func TestCompleteMeansEverythingAcknowledgedHasArrived(t *testing.T) {
	p := killloop.Pair{}
	l := killloop.NewLedger()
	l.Arrived(p, 0, "A")
	l.Acknowledged(p, 0)
	l.Acknowledged(p, 1)
	done := l.Complete()
	select {
	case <-done:
		t.Fatal("complete, although message 1 has not arrived")
	default:
	}
	l.Arrived(p, 1, "B")
	<-done
}

func sameCounts(a, b killloop.Report) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }

func contains(err error, part string) bool { return strings.Contains(err.Error(), part) }
