/* Bugs that no function can return an error for: the argument says which, and the library ends the process. */
#include "check.h"

static wasm_trap_t *delete_the_store(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args,
                                     wasm_val_vec_t *results) {
    (void)env, (void)args, (void)results;
    wasm_store_delete(aot_caller_store(caller));
    return NULL;
}

static wasm_trap_t *nothing(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)args, (void)results;
    return NULL;
}

static const aot_caller_t *kept;

static wasm_trap_t *keep_the_caller(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args,
                                    wasm_val_vec_t *results) {
    (void)env, (void)args, (void)results;
    kept = caller;
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *bug = argv[1];
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasm_limits_t limits = {1, 1};
    wasm_memorytype_t *memory_type = wasm_memorytype_new(&limits);
    wasm_memory_t *memory = wasm_memory_new(store, memory_type);
    wasm_func_t *func = aot_func_new(store, type, delete_the_store, NULL, NULL);
    if (strcmp(bug, "null") == 0) {
        wasm_func_call(NULL, &none, &none);
    } else if (strcmp(bug, "deleted") == 0) {
        wasm_func_delete(func);
        /* Something new in its place, if memory is used again. */
        for (int i = 0; i < 100; ++i) {
            (void)wasm_foreign_new(store);
        }
        wasm_func_call(func, &none, &none);
    } else if (strcmp(bug, "twice") == 0) {
        wasm_memory_delete(memory);
        wasm_memory_delete(memory);
    } else if (strcmp(bug, "store") == 0) {
        wasm_store_delete(store);
        wasm_memory_new(store, memory_type);
    } else if (strcmp(bug, "type") == 0) {
        wasm_functype_delete(type);
        wasm_func_new(store, type, nothing);
    } else if (strcmp(bug, "callback") == 0) {
        wasm_func_new(store, type, NULL);
    } else if (strcmp(bug, "text") == 0) {
        aot_module_load_file(NULL);
    } else if (strcmp(bug, "pointer") == 0) {
        wasm_memorytype_new(NULL);
    } else if (strcmp(bug, "kind") == 0) {
        wasm_func_call((wasm_func_t *)memory, &none, &none);
    } else if (strcmp(bug, "class") == 0) {
        wasm_func_call((wasm_func_t *)engine, &none, &none);
    } else if (strcmp(bug, "borrowed") == 0) {
        wasm_func_call(func, &none, &none);
    } else if (strcmp(bug, "wrong type") == 0) {
        wasm_memory_new(store, (wasm_memorytype_t *)type);
    } else if (strcmp(bug, "vector") == 0) {
        wasm_extern_vec_t one;
        wasm_extern_t *items[] = {wasm_memory_as_extern(memory)};
        wasm_extern_vec_new(&one, 1, items);
        wasm_extern_vec_delete(&one);
        wasm_memory_size(memory);
    } else if (strcmp(bug, "caller") == 0) {
        wasm_func_t *keeper = aot_func_new(store, type, keep_the_caller, NULL, NULL);
        expect_ok(wasm_func_call(keeper, &none, &none));
        aot_caller_memory(kept, NULL);
    }
    printf("%s: not noticed\n", bug);
    return 0;
}
