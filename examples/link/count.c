// Counts its arguments with the library of dictionary.c. Each has a memory of its own, and neither sees the other's.
//
//     clang --target=wasm32-wasi -O2 count.c -o count.wasm
//     aot link count.wasm dictionary=dictionary.wasm -o count
//     ./count one two one

#include <stdio.h>

#define IMPORT(name) __attribute__((import_module("dictionary"), import_name(name)))

IMPORT("put") void put(unsigned at, int c);
IMPORT("add") int add(void);
IMPORT("report") void report(void);

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        unsigned at = 0;
        do put(at, argv[i][at]);
        while (argv[i][at++]);
        printf("%s %d\n", argv[i], add());
    }
    // The library prints with a buffer of its own.
    fflush(stdout);
    report();
    return 0;
}
