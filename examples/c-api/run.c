/* A program that runs a WASI command from an image, with limits: `run IMAGE [ARGUMENT]…`.
 *
 *     aot build examples/top-words.wat --emit cwasm -W epoch-interruption -o top-words.cwasm
 *     cc -I target/release/capi/include run.c -L target/release/capi/lib -laot -lpthread -o run
 *     LD_LIBRARY_PATH=target/release/capi/lib ./run top-words.cwasm < README.md
 *
 * The guest has the standard streams and its arguments, 64 MiB of memory and five seconds.
 */

#include <aot.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The clock of deadlines: a tick every 100 ms. */
static void *tick(void *engine) {
    for (;;) {
        const struct timespec step = {0, 100 * 1000 * 1000};
        nanosleep(&step, NULL);
        aot_engine_tick(engine);
    }
    return NULL;
}

static int fail(void) {
    fprintf(stderr, "error: %s\n", aot_last_error());
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "error: run IMAGE [ARGUMENT]...\n");
        return 2;
    }
    /* A guest that writes to a closed pipe gets an error, and does not end this process. */
    signal(SIGPIPE, SIG_IGN);

    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    aot_limits_t limits = AOT_NO_LIMITS;
    limits.memory_bytes = 64 << 20;
    limits.instances = 1;
    aot_store_set_limits(store, &limits);

    aot_wasi_t *wasi = aot_wasi_new();
    aot_wasi_inherit_stdio(wasi);
    for (int i = 1; i < argc; ++i) {
        aot_wasi_arg(wasi, argv[i]);
    }
    aot_linker_t *linker = aot_linker_new();
    if (!aot_linker_define_wasi(linker) || !aot_store_set_wasi(store, wasi)) {
        return fail();
    }

    wasm_module_t *module = aot_module_load_file(argv[1]);
    if (module == NULL) {
        return fail();
    }
    if (!aot_module_is_interruptible(module)) {
        fprintf(stderr, "warning: the image was not built with -W epoch-interruption: loops do not end in time\n");
    }
    pthread_t clock;
    if (pthread_create(&clock, NULL, tick, engine) != 0) {
        return 1;
    }
    aot_store_set_deadline(store, 50);

    wasm_instance_t *instance = aot_linker_instantiate(linker, store, module, NULL);
    if (instance == NULL) {
        return fail();
    }
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    wasm_trap_t *trap = aot_instance_call(instance, "_start", &none, &none);
    uint32_t status = 0;
    if (trap != NULL && !aot_wasm_trap_exit_status(trap, &status)) {
        status = (uint32_t)fail();
    }
    if (trap != NULL) {
        wasm_trap_delete(trap);
    }
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    aot_linker_delete(linker);
    wasm_store_delete(store);
    /* The engine is the clock's. */
    return (int)status;
}
