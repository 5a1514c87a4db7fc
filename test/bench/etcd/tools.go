//go:build tools

// The server is built from this module, so that its version is pinned beside the client's; `go install` refuses modules
// with replace lines.
package main

import _ "go.etcd.io/etcd/server/v3"
