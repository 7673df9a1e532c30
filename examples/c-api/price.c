/* A program that calls a plugin: `price.cwasm`, built of examples/embed/plugins/price.wat. docs/c-api.md explains it.
 *
 *     aot build examples/embed/plugins/price.wat --emit cwasm -o price.cwasm
 *     cc -I target/release/capi/include price.c -L target/release/capi/lib -laot -o price
 *     LD_LIBRARY_PATH=target/release/capi/lib ./price price.cwasm
 */

#include <aot.h>
#include <stdio.h>

/* What the plugin may do: this one function, which shows its notes. */
static wasm_trap_t *note(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)env, (void)results;
    uint64_t address = (uint32_t)args->data[0].of.i32;
    size_t size = (uint32_t)args->data[1].of.i32;
    const char *text = aot_caller_range(caller, address, size);
    if (text == NULL) {
        return aot_wasm_trap_new("the note is not in the plugin's memory");
    }
    printf("note: %.*s\n", (int)size, text);
    return NULL;
}

/* The sum, or -1 after it said why there is none. */
static int64_t price(const wasm_instance_t *plugin, int32_t pieces, int64_t cents) {
    wasm_val_t arg_values[] = {WASM_I32_VAL(pieces), WASM_I64_VAL(cents)};
    wasm_val_t result_values[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(arg_values);
    wasm_val_vec_t results = WASM_ARRAY_VEC(result_values);
    wasm_trap_t *trap = aot_instance_call(plugin, "price", &args, &results);
    if (trap != NULL) {
        fprintf(stderr, "error: %s\n", aot_last_error());
        wasm_trap_delete(trap);
        return -1;
    }
    return result_values[0].of.i64;
}

int main(int argc, char **argv) {
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    aot_linker_t *linker = aot_linker_new();
    wasm_functype_t *type = wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    aot_linker_define_func(linker, "shop", "note", type, note, NULL, NULL);
    wasm_functype_delete(type);

    /* The image's code will be executed; it comes from our own build. */
    wasm_module_t *module = aot_module_load_file(argc > 1 ? argv[1] : "price.cwasm");
    wasm_instance_t *plugin = module ? aot_linker_instantiate(linker, store, module, NULL) : NULL;
    if (plugin == NULL) {
        fprintf(stderr, "error: %s\n", aot_last_error());
        return 1;
    }
    printf("3 pieces: %lld\n", (long long)price(plugin, 3, 250));
    printf("20 pieces: %lld\n", (long long)price(plugin, 20, 250));

    wasm_instance_delete(plugin);
    wasm_module_delete(module);
    aot_linker_delete(linker);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return 0;
}
