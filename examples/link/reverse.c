// Turns its arguments around with the library of strings.c, in one memory. Its own data begins at the second MiB, its heap
// behind that.
//
//     clang --target=wasm32-wasi -O2 -Wl,--import-memory,--export-memory \
//         -Wl,--global-base=1048576,--initial-memory=2097152 reverse.c -o reverse.wasm
//     aot link reverse.wasm strings=strings.wasm env=memory.wat -o reverse
//     ./reverse stressed

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("strings"), import_name(name)))

IMPORT("reverse") char *reverse(char *text);
IMPORT("calls") const unsigned *calls(void);

int main(int argc, char **argv) {
    const size_t size = 3 << 20;
    char *large = malloc(size);
    if (!large) return 1;
    memset(large, 'x', size);
    for (int i = 1; i < argc; i++) {
        char *copy = strdup(argv[i]);
        puts(reverse(copy));
        free(copy);
    }
    // What is allocated is out of the library's way.
    size_t intact = 0;
    while (intact < size && large[intact] == 'x') intact++;
    printf("%u calls, %s\n", *calls(), intact == size ? "all intact" : "overwritten");
    return 0;
}
