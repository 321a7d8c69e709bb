package badger

import (
	"context"

	bdg "github.com/dgraph-io/badger/v4"

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
func (s *Store) Talk(_ context.Context, own, peer contacts.Number) (t sms.Talk, err error) {
	err = s.view(func(txn *bdg.Txn) error {
		k, err := readTalk(txn, own, peer)
		t = k.Talk
		return err
	})
	return t, err
}

// Bind implements sms.Ledger.
func (s *Store) Bind(ctx context.Context, t sms.Talk) error {
	if errs := s.Commit(ctx, []delivery.Change{{Talk: &t}}); errs != nil {
		return errs[0]
	}
	return nil
}
