/* The library without the compiler: the argument is an image, whose function `answer` gives 42. */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2 && !aot_has_compiler());
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_byte_vec_t binary;
    wasm_byte_vec_new(&binary, 8, "\0asm\1\0\0\0");
    CHECK(wasm_module_new(store, &binary) == NULL && last_error_has("without the compiler"));
    CHECK(!wasm_module_validate(store, &binary) && last_error_has("aot build --emit cwasm"));
    wasm_byte_vec_delete(&binary);
    CHECK(!aot_wat2wasm("(module)", 8, &binary) && last_error_has("aot_module_load_file"));

    wasm_module_t *module = aot_module_load_file(argv[1]);
    wasm_extern_vec_t imports = WASM_EMPTY_VEC;
    wasm_instance_t *instance = wasm_instance_new(store, module, &imports, NULL);
    wasm_val_t result[] = {WASM_INIT_VAL};
    wasm_val_vec_t none = WASM_EMPTY_VEC, results = WASM_ARRAY_VEC(result);
    expect_ok(aot_instance_call(instance, "answer", &none, &results));
    printf("%d\n", result[0].of.i32);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return 0;
}
