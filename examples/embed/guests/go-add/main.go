// A reactor: the host calls what it exports.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o go-add.wasm
package main

//go:wasmexport add
func add(a, b int32) int32 {
	return a + b
}

// Not called: the host calls `_initialize`, which starts the runtime, and then the exports.
func main() {}
