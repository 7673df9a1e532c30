// Works on the memory of its caller, so it takes pointers: a library whose memory is imported. Its own data and stack lie in
// the first MiB. reverse.c uses it.
//
//     clang --target=wasm32-wasi -O2 -mexec-model=reactor -nostdlib -Wl,--no-entry,--import-memory \
//         -Wl,-z,stack-size=65536,--initial-memory=1048576 strings.c -o strings.wasm

#define EXPORT(name) __attribute__((export_name(name)))

static unsigned calls;

// Turns a text around, in its place.
EXPORT("reverse") char *reverse(char *text) {
    char *end = text;
    while (*end) end++;
    for (char *start = text; start < end;) {
        char c = *--end;
        *end = *start;
        *start++ = c;
    }
    calls++;
    return text;
}

EXPORT("calls") const unsigned *get_calls(void) {
    return &calls;
}
