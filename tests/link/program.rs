//! Programs and libraries of a C compiler, which know nothing of being linked like this.

use super::outputs::is_there;
use super::{Sandbox, stderr, stdout};

/// A library with a libc of its own: a constructor, an allocator, buffered output.
const DICTIONARY: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define EXPORT(name) __attribute__((export_name(name)))
static struct entry { struct entry *next; char *word; int count; } *table[16];
static int total, ready;
static char word[64];
__attribute__((constructor)) static void prepare(void) { ready = 1; puts("library ready"); fflush(stdout); }
EXPORT("put") void put(int at, int c) { word[at & 63] = (char)c; }
EXPORT("add") int add(void) {
  unsigned hash = 0;
  for (char *c = word; *c; c++) hash = hash * 33 + (unsigned char)*c;
  struct entry **slot = &table[hash % 16];
  for (; *slot; slot = &(*slot)->next)
    if (!strcmp((*slot)->word, word)) return ++(*slot)->count;
  *slot = malloc(sizeof **slot);
  **slot = (struct entry){ NULL, strdup(word), 1 };
  total++;
  return 1;
}
EXPORT("report") void report(void) { printf("%d words, %s\n", total, ready ? "ready" : "not ready"); fflush(stdout); }
"#;

const COUNT: &str = r#"
#include <stdio.h>
#define IMPORT(name) __attribute__((import_module("dictionary"), import_name(name)))
IMPORT("put") void put(int at, int c);
IMPORT("add") int add(void);
IMPORT("report") void report(void);
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    int at = 0;
    do put(at, argv[i][at]); while (argv[i][at++]);
    printf("%s %d\n", argv[i], add());
  }
  fflush(stdout);
  report();
  return argc;
}
"#;

/// A library that works on memory that it shares with the program: its data and stack lie in the first MiB, those of
/// the program behind it.
const STRINGS: &str = r#"
#define EXPORT(name) __attribute__((export_name(name)))
static char last[32] = "nothing yet";
static unsigned calls;
EXPORT("reverse") char *reverse(char *text) {
  char copy[256];
  unsigned length = 0;
  while (text[length] && length < sizeof copy) copy[length] = text[length], length++;
  for (unsigned i = 0; i < length; i++) text[i] = copy[length - 1 - i];
  for (unsigned i = 0; i < sizeof last - 1; i++) last[i] = i < length ? text[i] : 0;
  calls++;
  return last;
}
EXPORT("calls") unsigned get_calls(void) { return calls; }
"#;

const REVERSE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define IMPORT(name) __attribute__((import_module("strings"), import_name(name)))
IMPORT("reverse") char *reverse(char *text);
IMPORT("calls") unsigned calls(void);
int main(int argc, char **argv) {
  /* More than was there at first. */
  char *large = malloc(3 << 20);
  memset(large, 'x', 3 << 20);
  for (int i = 1; i < argc; i++) {
    char *copy = strdup(argv[i]);
    char *last = reverse(copy);
    printf("%s %s\n", copy, last);
    free(copy);
  }
  int intact = 1;
  for (int i = 0; i < 3 << 20; i++) intact &= large[i] == 'x';
  printf("%u calls, %s\n", calls(), intact && (size_t)large >= 1 << 20 ? "intact" : "broken");
  return 0;
}
"#;

#[track_caller]
fn clang(sandbox: &Sandbox, words: &[&str]) {
    let words = [&["--target=wasm32-wasi", "-O2"], words].concat();
    let output = sandbox.command("clang-19", &words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_program_and_a_library_with_a_libc_each() {
    if !is_there("clang-19") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("dictionary.c", DICTIONARY);
    sandbox.write("count.c", COUNT);
    clang(&sandbox, &["-mexec-model=reactor", "dictionary.c", "-o", "dictionary.wasm"]);
    clang(&sandbox, &["count.c", "-o", "count.wasm"]);
    sandbox.succeeds(&["link", "count.wasm", "dictionary=dictionary.wasm"]);
    let output = sandbox.command(sandbox.path("count"), &["one", "two", "one"]).output().unwrap();
    let expected = "library ready\none 1\ntwo 1\none 2\n2 words, ready\n";
    assert_eq!((&*stdout(&output), &*stderr(&output), output.status.code()), (expected, "", Some(4)));
    let words = ["run", "--preload", "dictionary=dictionary.wasm", "count.wasm", "one", "two", "one"];
    let output = sandbox.ends_with(&words, 4);
    assert_eq!(stdout(&output), expected);
}

#[test]
fn a_program_and_a_library_in_one_memory() {
    if !is_there("clang-19") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("strings.c", STRINGS);
    sandbox.write("reverse.c", REVERSE);
    sandbox.write("memory.wat", r#"(module (memory (export "memory") 32))"#);
    let flags = "-Wl,--import-memory,-z,stack-size=65536,--initial-memory=1048576";
    clang(
        &sandbox,
        &["-mexec-model=reactor", "-nostdlib", flags, "-Wl,--no-entry", "strings.c", "-o", "strings.wasm"],
    );
    let flags = "-Wl,--import-memory,--export-memory,--global-base=1048576,--initial-memory=2097152";
    clang(&sandbox, &[flags, "reverse.c", "-o", "reverse.wasm"]);
    sandbox.succeeds(&["link", "reverse.wasm", "strings=strings.wasm", "env=memory.wat"]);
    let output = sandbox.command(sandbox.path("reverse"), &["stressed", "desserts"]).output().unwrap();
    let expected = "desserts desserts\nstressed stressed\n2 calls, intact\n";
    assert_eq!((&*stdout(&output), &*stderr(&output), output.status.code()), (expected, "", Some(0)));
}
