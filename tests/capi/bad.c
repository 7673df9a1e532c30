/* What a program can do wrong and has to be told: each is an error with its reason. The argument is a directory with
 * images that no host can run. */
#include "check.h"

#include <pthread.h>

static wasm_trap_t *nothing(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)args, (void)results;
    return NULL;
}

static wasm_trap_t *a_number_for_a_float(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)args;
    results->data[0].kind = WASM_I32;
    return NULL;
}

static const char *const IMPORTER =
    "(module (import \"host\" \"f\" (func (param i32))) (import \"host\" \"m\" (memory 1)))";

static void imports(wasm_engine_t *engine, wasm_store_t *store) {
    wasm_module_t *module = compile(store, IMPORTER);
    wasm_functype_t *wrong_type = wasm_functype_new_0_0();
    wasm_functype_t *type = wasm_functype_new_1_0(wasm_valtype_new_i32());
    wasm_func_t *wrong = wasm_func_new(store, wrong_type, nothing), *right = wasm_func_new(store, type, nothing);
    wasm_limits_t limits = {1, 1};
    wasm_memorytype_t *memory_type = wasm_memorytype_new(&limits);
    wasm_store_t *other_store = wasm_store_new(engine);
    wasm_memory_t *memory = wasm_memory_new(store, memory_type);
    wasm_memory_t *other = wasm_memory_new(other_store, memory_type);
    wasm_memorytype_delete(memory_type);
    wasm_trap_t *trap;

    /* Too few, none, a hole. */
    wasm_extern_t *items[] = {wasm_func_as_extern(right), wasm_memory_as_extern(memory)};
    wasm_extern_vec_t one = {1, items}, none = WASM_EMPTY_VEC, both = {2, items};
    CHECK(wasm_instance_new(store, module, &one, &trap) == NULL && last_error_has("2 imports, not 1"));
    expect_trap(trap, "2 imports, not 1");
    CHECK(wasm_instance_new(store, module, &none, NULL) == NULL && last_error_has("2 imports, not 0"));
    CHECK(wasm_instance_new(store, module, NULL, NULL) == NULL);
    items[1] = NULL;
    CHECK(wasm_instance_new(store, module, &both, &trap) == NULL);
    expect_trap(trap, "import 1 is NULL: `host` `m`, a memory of 1 pages and more");
    /* Another type, another kind, another store. */
    items[0] = wasm_func_as_extern(wrong);
    items[1] = wasm_memory_as_extern(memory);
    CHECK(wasm_instance_new(store, module, &both, &trap) == NULL && aot_last_error_kind() == AOT_ERROR_IMPORT);
    expect_trap(trap, "`host` `f` has to be a function of type (i32) -> (), and is a function of type () -> ()");
    items[0] = wasm_memory_as_extern(memory);
    CHECK(wasm_instance_new(store, module, &both, &trap) == NULL);
    expect_trap(trap, "is a memory of 1 to 1 pages");
    items[0] = wasm_func_as_extern(right);
    items[1] = wasm_memory_as_extern(other);
    CHECK(wasm_instance_new(store, module, &both, &trap) == NULL);
    expect_trap(trap, "different stores");
    items[1] = wasm_memory_as_extern(memory);
    wasm_instance_t *instance = wasm_instance_new(store, module, &both, &trap);
    CHECK(instance != NULL && trap == NULL);
    wasm_instance_delete(instance);

    /* The same by names. */
    aot_linker_t *linker = aot_linker_new();
    CHECK(aot_linker_define(linker, "host", "m", wasm_memory_as_extern(other)));
    CHECK(aot_linker_instantiate(linker, store, module, &trap) == NULL);
    expect_trap(trap, "unknown import: `host` `f`, a function of type (i32) -> ()");
    CHECK(aot_linker_define(linker, "host", "f", wasm_func_as_extern(right)));
    CHECK(aot_linker_instantiate(linker, store, module, NULL) == NULL && last_error_has("different stores"));
    aot_linker_delete(linker);

    wasm_func_delete(wrong);
    wasm_func_delete(right);
    wasm_functype_delete(type);
    wasm_functype_delete(wrong_type);
    wasm_memory_delete(memory);
    wasm_memory_delete(other);
    wasm_store_delete(other_store);
    wasm_module_delete(module);
}

static void calls(wasm_engine_t *engine, wasm_store_t *store) {
    wasm_instance_t *instance = instantiate(
        store, "(module (func (export \"f\") (param i32) (result i32) (local.get 0)) (table (export \"t\") 1 funcref)"
               "  (global (export \"g\") i32 (i32.const 1)) (memory (export \"m\") 1))");
    wasm_val_t number[] = {WASM_I32_VAL(1)}, wrong[] = {WASM_F32_VAL(1)}, result[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(number), wrong_args = WASM_ARRAY_VEC(wrong),
                   results = WASM_ARRAY_VEC(result), none = WASM_EMPTY_VEC;
    expect_trap(aot_instance_call(instance, "f", &none, &results), "1 parameters is called with 0 arguments");
    expect_trap(aot_instance_call(instance, "f", &wrong_args, &results), "argument 0: a value of kind 2");
    expect_trap(aot_instance_call(instance, "f", &args, &none), "1 results is called with room for 0");
    expect_trap(aot_instance_call(instance, "f", NULL, NULL), "called with 0 arguments");
    expect_trap(aot_instance_call(instance, "g", &none, &none), "exports no function `g`");
    CHECK(aot_instance_export(instance, "x") == NULL && last_error_has("exports no `x`"));

    wasm_extern_t *global = aot_instance_export(instance, "g"), *table = aot_instance_export(instance, "t");
    CHECK(!aot_global_set(wasm_extern_as_global(global), &number[0]) && last_error_has("cannot be changed"));
    CHECK(!aot_global_set(wasm_extern_as_global(global), &wrong[0]) && last_error_has("kind 2"));
    CHECK(!wasm_table_set(wasm_extern_as_table(table), 0, wasm_extern_as_ref(global)) && last_error_has("no function"));
    wasm_store_t *other = wasm_store_new(engine);
    wasm_functype_t *type = wasm_functype_new_0_1(wasm_valtype_new_f32());
    wasm_func_t *func = wasm_func_new(other, type, a_number_for_a_float);
    CHECK(!wasm_table_set(wasm_extern_as_table(table), 0, wasm_func_as_ref(func)) && last_error_has("another store"));
    expect_trap(wasm_func_call(func, &none, &results), "a result of a callback does not fit: a value of kind 0");
    wasm_functype_delete(type);
    wasm_func_delete(func);
    wasm_store_delete(other);
    wasm_extern_delete(global);
    wasm_extern_delete(table);
    wasm_instance_delete(instance);

    wasm_limits_t limits = {3, 2};
    wasm_memorytype_t *memory_type = wasm_memorytype_new(&limits);
    CHECK(wasm_memory_new(store, memory_type) == NULL && last_error_has("above their maximum"));
    wasm_memorytype_delete(memory_type);
    limits.min = 70000;
    limits.max = wasm_limits_max_default;
    memory_type = wasm_memorytype_new(&limits);
    CHECK(wasm_memory_new(store, memory_type) == NULL && aot_last_error_kind() == AOT_ERROR_MEMORY);
    wasm_memorytype_delete(memory_type);
    wasm_tabletype_t *table_type = wasm_tabletype_new(wasm_valtype_new_i32(), &limits);
    CHECK(wasm_table_new(store, table_type, NULL) == NULL && last_error_has("elements of type i32"));
    wasm_tabletype_delete(table_type);
}

static void expect_load_error(const char *directory, const char *file, const char *reason) {
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    CHECK(aot_module_load_file(path) == NULL && aot_last_error_kind() == AOT_ERROR_LOAD);
    CHECK(last_error_has(reason) && last_error_has(file));
}

static void images(const char *directory) {
    expect_load_error(directory, "abi.cwasm", "ABI");
    expect_load_error(directory, "truncated.cwasm", "cut off");
    expect_load_error(directory, "foreign.cwasm", "s390x");
    expect_load_error(directory, "changed.cwasm", "damaged");
    expect_load_error(directory, "module.wasm", "module");
    expect_load_error(directory, "empty.cwasm", "");
    expect_load_error(directory, "missing.cwasm", "No such file");
    CHECK(aot_module_load(NULL, 0) == NULL && aot_module_load("text", 4) == NULL);
}

/* What the thread that uses the store waits for, and what the others saw. */
static pthread_barrier_t barrier;
static wasm_store_t *busy_store;
static wasm_func_t *busy_func;
static wasm_memory_t *busy_memory;

static wasm_trap_t *wait_inside(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    (void)env, (void)args, (void)results;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void *use_from_another_thread(void *unused) {
    (void)unused;
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    pthread_barrier_wait(&barrier);
    expect_trap(wasm_func_call(busy_func, &none, &none), "in use by another thread");
    CHECK(aot_last_error_kind() == AOT_ERROR_BUSY);
    CHECK(wasm_memory_data(busy_memory) == NULL && wasm_memory_size(busy_memory) == 0);
    CHECK(!wasm_memory_grow(busy_memory, 1) && !aot_store_set_fuel(busy_store, 1));
    wasm_functype_t *type = wasm_functype_new_0_0();
    CHECK(wasm_func_new(busy_store, type, nothing) == NULL && last_error_has("in use by another thread"));
    wasm_functype_delete(type);
    wasm_module_t *module = compile(busy_store, "(module)");
    wasm_extern_vec_t imports = WASM_EMPTY_VEC;
    wasm_trap_t *trap;
    CHECK(wasm_instance_new(busy_store, module, &imports, &trap) == NULL);
    expect_trap(trap, "in use by another thread");
    wasm_module_delete(module);
    /* References are only counted. */
    wasm_memory_t *copy = wasm_memory_copy(busy_memory);
    CHECK(wasm_memory_same(copy, busy_memory));
    wasm_memory_delete(copy);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void threads(wasm_store_t *store) {
    wasm_functype_t *type = wasm_functype_new_0_0();
    wasm_limits_t limits = {1, 2};
    wasm_memorytype_t *memory_type = wasm_memorytype_new(&limits);
    busy_store = store;
    busy_func = wasm_func_new_with_env(store, type, wait_inside, NULL, NULL);
    busy_memory = wasm_memory_new(store, memory_type);
    wasm_functype_delete(type);
    wasm_memorytype_delete(memory_type);
    CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, use_from_another_thread, NULL) == 0);
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    expect_ok(wasm_func_call(busy_func, &none, &none));
    CHECK(pthread_join(thread, NULL) == 0 && wasm_memory_size(busy_memory) == 1);
    pthread_barrier_destroy(&barrier);
    wasm_func_delete(busy_func);
    wasm_memory_delete(busy_memory);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    imports(engine, store);
    calls(engine, store);
    images(argv[1]);
    threads(store);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    printf("all refused\n");
    return 0;
}
