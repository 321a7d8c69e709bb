package smshttp

// Forbidden is forbidden, for its table.
var Forbidden = forbidden

// FieldIn reads a path and finds its word in a JSON text.
func FieldIn(path, text string) (string, error) {
	f, err := parseField(path)
	if err != nil {
		return "", err
	}
	return f.inAnswer([]byte(text)), nil
}
