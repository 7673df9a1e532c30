// A program in C++ of the same headers.
#include "aot.h"

#include <cstdio>
#include <cstring>
#include <string>

static wasm_trap_t *greet(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args, wasm_val_vec_t *) {
    std::string text(static_cast<size_t>(args->data[1].of.i32), '\0');
    if (!aot_caller_read(caller, static_cast<uint32_t>(args->data[0].of.i32), &text[0], text.size())) {
        return aot_wasm_trap_new("out of bounds");
    }
    *static_cast<std::string *>(env) = text;
    return nullptr;
}

int main() {
    const char *text = "(module (import \"host\" \"greet\" (func $greet (param i32 i32)))"
                       "  (memory (export \"memory\") 1) (data (i32.const 8) \"from C++\")"
                       "  (func (export \"run\") (call $greet (i32.const 8) (i32.const 8))))";
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_byte_vec_t binary;
    if (!aot_wat2wasm(text, std::strlen(text), &binary)) {
        return 1;
    }
    wasm_module_t *module = wasm_module_new(store, &binary);
    wasm_byte_vec_delete(&binary);
    aot_linker_t *linker = aot_linker_new();
    wasm_functype_t *type = wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    std::string said;
    if (!aot_linker_define_func(linker, "host", "greet", type, greet, &said, nullptr)) {
        return 1;
    }
    wasm_instance_t *instance = aot_linker_instantiate(linker, store, module, nullptr);
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    if (instance == nullptr || aot_instance_call(instance, "run", &none, &none) != nullptr) {
        return 1;
    }
    std::printf("%s\n", said.c_str());
    wasm_functype_delete(type);
    wasm_instance_delete(instance);
    aot_linker_delete(linker);
    wasm_module_delete(module);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    return 0;
}
