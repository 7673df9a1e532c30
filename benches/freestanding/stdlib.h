/* For wasmtime's one C file, of which it takes `NULL`: compiled for aarch64 on a machine without that C library. */
#include <stddef.h>
