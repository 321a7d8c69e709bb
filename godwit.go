// Package godwit carries the documentation, for the programs that show it.
package godwit

import "embed"

// Docs are README.md and docs/*.md.
//
//go:embed README.md docs/*.md
var Docs embed.FS
