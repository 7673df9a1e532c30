/* What the C programs of the tests share. */
#ifndef CHECK_H
#define CHECK_H

#include "aot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program if something is not as it has to be. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: `%s` does not hold; the last error is: %s\n", __FILE__, __LINE__,        \
                    #condition, aot_last_error());                                                           \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* Whether the last error says this. */
static inline bool last_error_has(const char *text) {
    if (strstr(aot_last_error(), text) != NULL) {
        return true;
    }
    fprintf(stderr, "the last error is not about `%s`: %s\n", text, aot_last_error());
    return false;
}

/* A module in the text format, compiled. */
static inline wasm_module_t *compile(wasm_store_t *store, const char *text) {
    wasm_byte_vec_t binary;
    CHECK(aot_wat2wasm(text, strlen(text), &binary));
    wasm_module_t *module = wasm_module_new(store, &binary);
    CHECK(module != NULL);
    wasm_byte_vec_delete(&binary);
    return module;
}

/* An instance of a module without imports. */
static inline wasm_instance_t *instantiate(wasm_store_t *store, const char *text) {
    wasm_module_t *module = compile(store, text);
    wasm_extern_vec_t none = WASM_EMPTY_VEC;
    wasm_instance_t *instance = wasm_instance_new(store, module, &none, NULL);
    CHECK(instance != NULL);
    wasm_module_delete(module);
    return instance;
}

/* A trap is there and says this; deletes it. */
static inline void expect_trap(wasm_trap_t *trap, const char *text) {
    CHECK(trap != NULL);
    wasm_message_t message;
    wasm_trap_message(trap, &message);
    CHECK(message.size > 0 && message.data[message.size - 1] == 0);
    if (strstr(message.data, text) == NULL) {
        fprintf(stderr, "the trap is not about `%s`: %s\n", text, message.data);
        exit(1);
    }
    wasm_byte_vec_delete(&message);
    wasm_trap_delete(trap);
}

/* There is no trap. */
static inline void expect_ok(wasm_trap_t *trap) {
    if (trap != NULL) {
        wasm_message_t message;
        wasm_trap_message(trap, &message);
        fprintf(stderr, "a trap: %s\n", message.data);
        exit(1);
    }
}

#endif
