// Counts words: a library with a libc, a memory and an allocator of its own. count.c uses it.
//
//     clang --target=wasm32-wasi -O2 -mexec-model=reactor dictionary.c -o dictionary.wasm

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))

struct entry {
    struct entry *next;
    char *word;
    int count;
};

static struct entry *table[16];
static int total;
static char word[64];

// Runs before the program starts.
__attribute__((constructor)) static void prepare(void) {
    puts("library ready");
    fflush(stdout);
}

// The program's memory is another one: it hands over a word character by character.
EXPORT("put") void put(unsigned at, int c) {
    if (at < sizeof word - 1) word[at] = (char)c;
}

// Counts the word, and returns how often it has come.
EXPORT("add") int add(void) {
    unsigned hash = 0;
    for (char *c = word; *c; c++) hash = hash * 33 + (unsigned char)*c;
    struct entry **slot = &table[hash % 16];
    for (; *slot; slot = &(*slot)->next) {
        if (!strcmp((*slot)->word, word)) return ++(*slot)->count;
    }
    struct entry *entry = malloc(sizeof *entry);
    if (!entry) abort();
    *entry = (struct entry){ NULL, strdup(word), 1 };
    *slot = entry;
    total++;
    return 1;
}

EXPORT("report") void report(void) {
    printf("%d words\n", total);
    fflush(stdout);
}
