package memory

import (
	"context"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
)

// Meet implements sms.Ledger.
func (s *Store) Meet(ctx context.Context, gateway, id string, side sms.Side, mine []byte) (other []byte, err error) {
	met := []sms.Meeting{{Gateway: gateway, ID: id, Side: side, Mine: mine}}
	if errs := s.Commit(ctx, []delivery.Change{{Meetings: met}}); errs != nil {
		return nil, errs[0]
	}
	return met[0].Other, nil
}

// Talk implements sms.Ledger.
func (s *Store) Talk(_ context.Context, own, peer contacts.Number) (talk sms.Talk, err error) {
	err = s.read(func(t *state) error {
		talk = t.talks[pair{own, peer}].Talk
		return nil
	})
	return talk, err
}

// Bind implements sms.Ledger.
func (s *Store) Bind(ctx context.Context, talk sms.Talk) error {
	if errs := s.Commit(ctx, []delivery.Change{{Talk: &talk}}); errs != nil {
		return errs[0]
	}
	return nil
}
