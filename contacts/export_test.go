package contacts

// The codec, for the tests outside.
var (
	EncodeRecord = func(u *User) []byte { return []byte(encode(u)) }
	DecodeRecord = func(b []byte) (User, error) { return decode(record(b)) }
)
