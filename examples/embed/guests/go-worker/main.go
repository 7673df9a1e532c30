// A command that serves requests: it asks the host for one, and tells it the response, until there are no more.
//
//	GOOS=wasip1 GOARCH=wasm go build -o go-worker.wasm
package main

// The next request; a negative number if there are no more.
//
//go:wasmimport host request
func request() int64

//go:wasmimport host response
func response(result int64)

func main() {
	for {
		number := request()
		if number < 0 {
			return
		}
		response(number * number)
	}
}
