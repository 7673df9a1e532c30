/* Uses every function of wasm.h and aot.h, and looks at what it does. */
#include "check.h"

#include <fcntl.h>
#include <unistd.h>

static int finalized;

static void finalizer(void *data) {
    ++finalized;
    *(int *)data += 1;
}

static bool name_is(const wasm_name_t *name, const char *text) {
    return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

/* Vectors of a kind of types, of which there is one: `make` makes it. Takes nothing over. */
#define TEST_TYPE_VECTOR(kind, make)                                                                         \
    do {                                                                                                     \
        wasm_##kind##_vec_t empty, room, vec, copy;                                                          \
        wasm_##kind##_vec_new_empty(&empty);                                                                 \
        CHECK(empty.size == 0 && empty.data == NULL);                                                        \
        wasm_##kind##_vec_delete(&empty);                                                                    \
        wasm_##kind##_vec_new_uninitialized(&room, 2);                                                       \
        CHECK(room.size == 2 && room.data != NULL);                                                          \
        room.data[0] = make;                                                                                 \
        room.data[1] = NULL;                                                                                 \
        wasm_##kind##_vec_copy(&copy, &room);                                                                \
        CHECK(copy.size == 2 && copy.data[0] != NULL && copy.data[0] != room.data[0] &&                      \
              copy.data[1] == NULL);                                                                         \
        wasm_##kind##_vec_delete(&room);                                                                     \
        wasm_##kind##_t *one[] = {wasm_##kind##_copy(copy.data[0])};                                         \
        wasm_##kind##_vec_delete(&copy);                                                                     \
        wasm_##kind##_vec_new(&vec, 1, one);                                                                 \
        CHECK(vec.size == 1 && vec.data[0] == one[0]);                                                       \
        wasm_##kind##_vec_delete(&vec);                                                                      \
        CHECK(vec.size == 0 && vec.data == NULL);                                                            \
        wasm_##kind##_delete(NULL);                                                                          \
    } while (0)

/* Conversions of a kind of types from and to the general type. Deletes the type. */
#define TEST_EXTERN_TYPE(kind, number, make)                                                                 \
    do {                                                                                                     \
        wasm_##kind##_t *type = make;                                                                        \
        wasm_externtype_t *general = wasm_##kind##_as_externtype(type);                                      \
        CHECK(wasm_externtype_kind(general) == number);                                                      \
        CHECK(wasm_externtype_as_##kind(general) == type);                                                   \
        CHECK(wasm_externtype_as_##kind##_const(wasm_##kind##_as_externtype_const(type)) == type);           \
        CHECK((number == WASM_EXTERN_FUNC) == (wasm_externtype_as_functype(general) != NULL));               \
        CHECK((number == WASM_EXTERN_TAG) == (wasm_externtype_as_tagtype(general) != NULL));                 \
        wasm_externtype_t *copy = wasm_externtype_copy(general);                                             \
        CHECK(copy != general && wasm_externtype_kind(copy) == number);                                      \
        wasm_externtype_delete(copy);                                                                        \
        wasm_##kind##_delete(type);                                                                          \
    } while (0)

static wasm_functype_t *a_functype(void) {
    return wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_f64(), wasm_valtype_new_i64());
}

static wasm_globaltype_t *a_globaltype(void) {
    return wasm_globaltype_new(wasm_valtype_new_f32(), WASM_VAR);
}

static wasm_tabletype_t *a_tabletype(void) {
    wasm_limits_t limits = {1, 10};
    return wasm_tabletype_new(wasm_valtype_new_funcref(), &limits);
}

static wasm_memorytype_t *a_memorytype(void) {
    wasm_limits_t limits = {2, wasm_limits_max_default};
    return wasm_memorytype_new(&limits);
}

static wasm_importtype_t *an_importtype(void) {
    wasm_name_t module, name;
    wasm_name_new_from_string(&module, "module");
    wasm_name_new_from_string(&name, "name");
    return wasm_importtype_new(&module, &name, wasm_memorytype_as_externtype(a_memorytype()));
}

static wasm_exporttype_t *an_exporttype(void) {
    wasm_name_t name;
    wasm_name_new_from_string(&name, "name");
    return wasm_exporttype_new(&name, wasm_functype_as_externtype(a_functype()));
}

static void test_types(void) {
    static const wasm_valkind_t kinds[] = {WASM_I32, WASM_I64,       WASM_F32,    WASM_F64,
                                           AOT_V128, WASM_EXTERNREF, WASM_FUNCREF};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        wasm_valtype_t *type = wasm_valtype_new(kinds[i]);
        CHECK(wasm_valtype_kind(type) == kinds[i]);
        CHECK(wasm_valtype_is_ref(type) == (kinds[i] == WASM_EXTERNREF || kinds[i] == WASM_FUNCREF));
        CHECK(wasm_valtype_is_num(type) != wasm_valtype_is_ref(type));
        wasm_valtype_delete(type);
    }
    CHECK(wasm_valtype_new(77) == NULL && last_error_has("77"));

    TEST_TYPE_VECTOR(valtype, wasm_valtype_new_externref());
    TEST_TYPE_VECTOR(functype, a_functype());
    TEST_TYPE_VECTOR(globaltype, a_globaltype());
    TEST_TYPE_VECTOR(tabletype, a_tabletype());
    TEST_TYPE_VECTOR(memorytype, a_memorytype());
    TEST_TYPE_VECTOR(tagtype, wasm_tagtype_new(a_functype()));
    TEST_TYPE_VECTOR(externtype, wasm_functype_as_externtype(a_functype()));
    TEST_TYPE_VECTOR(importtype, an_importtype());
    TEST_TYPE_VECTOR(exporttype, an_exporttype());
    TEST_EXTERN_TYPE(functype, WASM_EXTERN_FUNC, a_functype());
    TEST_EXTERN_TYPE(globaltype, WASM_EXTERN_GLOBAL, a_globaltype());
    TEST_EXTERN_TYPE(tabletype, WASM_EXTERN_TABLE, a_tabletype());
    TEST_EXTERN_TYPE(memorytype, WASM_EXTERN_MEMORY, a_memorytype());
    TEST_EXTERN_TYPE(tagtype, WASM_EXTERN_TAG, wasm_tagtype_new(a_functype()));
    CHECK(wasm_externtype_as_functype(NULL) == NULL);

    wasm_functype_t *func = a_functype();
    CHECK(wasm_functype_params(func)->size == 2 && wasm_functype_results(func)->size == 1);
    CHECK(wasm_valtype_kind(wasm_functype_params(func)->data[1]) == WASM_F64);
    CHECK(wasm_valtype_kind(wasm_functype_results(func)->data[0]) == WASM_I64);
    wasm_tagtype_t *tag = wasm_tagtype_new(func);
    CHECK(wasm_tagtype_functype(tag) == func);
    wasm_tagtype_delete(tag);

    wasm_globaltype_t *global = a_globaltype();
    CHECK(wasm_valtype_kind(wasm_globaltype_content(global)) == WASM_F32);
    CHECK(wasm_globaltype_mutability(global) == WASM_VAR);
    wasm_globaltype_delete(global);

    wasm_tabletype_t *table = a_tabletype();
    CHECK(wasm_valtype_kind(wasm_tabletype_element(table)) == WASM_FUNCREF);
    CHECK(wasm_tabletype_limits(table)->min == 1 && wasm_tabletype_limits(table)->max == 10);
    wasm_tabletype_delete(table);

    wasm_memorytype_t *memory = a_memorytype();
    CHECK(wasm_memorytype_limits(memory)->min == 2 &&
          wasm_memorytype_limits(memory)->max == wasm_limits_max_default);
    wasm_memorytype_delete(memory);

    wasm_importtype_t *import = an_importtype();
    CHECK(name_is(wasm_importtype_module(import), "module") && name_is(wasm_importtype_name(import), "name"));
    CHECK(wasm_externtype_kind(wasm_importtype_type(import)) == WASM_EXTERN_MEMORY);
    wasm_importtype_delete(import);
    wasm_exporttype_t *export_ = an_exporttype();
    CHECK(name_is(wasm_exporttype_name(export_), "name"));
    CHECK(wasm_externtype_kind(wasm_exporttype_type(export_)) == WASM_EXTERN_FUNC);
    wasm_exporttype_delete(export_);

    /* All the short forms, which are in the header. */
    wasm_functype_t *types[] = {
        wasm_functype_new_0_0(),
        wasm_functype_new_1_0(wasm_valtype_new_i32()),
        wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32()),
        wasm_functype_new_3_0(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32()),
        wasm_functype_new_0_1(wasm_valtype_new_i32()),
        wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32()),
        wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32()),
        wasm_functype_new_3_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32(),
                              wasm_valtype_new_i32()),
        wasm_functype_new_0_2(wasm_valtype_new_i32(), wasm_valtype_new_i64()),
        wasm_functype_new_1_2(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i64()),
        wasm_functype_new_2_2(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32(),
                              wasm_valtype_new_i64()),
        wasm_functype_new_3_2(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32(),
                              wasm_valtype_new_i32(), wasm_valtype_new_i64()),
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
        CHECK(wasm_functype_params(types[i])->size == i % 4 && wasm_functype_results(types[i])->size == i / 4);
        wasm_functype_delete(types[i]);
    }
}

static void test_bytes(void) {
    wasm_byte_vec_t empty, room, copy, text;
    wasm_byte_vec_new_empty(&empty);
    CHECK(empty.size == 0);
    wasm_byte_vec_new_uninitialized(&room, 3);
    memcpy(room.data, "abc", 3);
    wasm_byte_vec_copy(&copy, &room);
    CHECK(copy.size == 3 && copy.data != room.data && memcmp(copy.data, "abc", 3) == 0);
    wasm_name_new_from_string_nt(&text, "text");
    CHECK(text.size == 5 && text.data[4] == 0);
    wasm_byte_vec_delete(&text);
    wasm_byte_vec_delete(&copy);
    wasm_byte_vec_delete(&room);
    wasm_byte_vec_delete(&empty);
    wasm_byte_vec_new_uninitialized(&room, SIZE_MAX);
    CHECK(room.size == 0 && room.data == NULL && aot_last_error_kind() == AOT_ERROR_MEMORY);
}

/* What all references have. The host information is that of the thing, whichever reference is asked. */
#define TEST_REFERENCE(kind, reference)                                                                      \
    do {                                                                                                     \
        wasm_##kind##_t *subject = reference;                                                                     \
        wasm_##kind##_t *copy = wasm_##kind##_copy(subject);                                                      \
        CHECK(copy != subject && wasm_##kind##_same(subject, copy) && wasm_##kind##_same(copy, copy));                 \
        CHECK(!wasm_##kind##_same(subject, NULL) && wasm_##kind##_same(NULL, NULL));                              \
        CHECK(wasm_##kind##_get_host_info(copy) == NULL);                                                    \
        static int first, second;                                                                            \
        wasm_##kind##_set_host_info(subject, &first);                                                             \
        CHECK(wasm_##kind##_get_host_info(copy) == &first);                                                  \
        wasm_##kind##_set_host_info_with_finalizer(copy, &second, finalizer);                                \
        CHECK(wasm_##kind##_get_host_info(subject) == &second);                                                   \
        wasm_##kind##_set_host_info(subject, NULL);                                                               \
        CHECK(first == 0 && second == 1);                                                                    \
        wasm_##kind##_delete(copy);                                                                          \
        wasm_##kind##_delete(NULL);                                                                          \
    } while (0)

#define TEST_CASTS(kind, reference)                                                                          \
    do {                                                                                                     \
        wasm_##kind##_t *it = reference;                                                                     \
        wasm_ref_t *general = wasm_##kind##_as_ref(it);                                                      \
        CHECK(wasm_ref_as_##kind(general) == it);                                                            \
        CHECK(wasm_ref_as_##kind##_const(wasm_##kind##_as_ref_const(it)) == it);                             \
        CHECK(wasm_ref_as_##kind(NULL) == NULL);                                                             \
        TEST_REFERENCE(ref, general);                                                                        \
        TEST_REFERENCE(kind, it);                                                                            \
    } while (0)

#define TEST_EXTERN(kind, number, reference)                                                                 \
    do {                                                                                                     \
        wasm_##kind##_t *this_ = reference;                                                                  \
        wasm_extern_t *item = wasm_##kind##_as_extern(this_);                                                \
        CHECK(wasm_extern_kind(item) == number);                                                             \
        CHECK(wasm_extern_as_##kind(item) == this_);                                                         \
        CHECK(wasm_extern_as_##kind##_const(wasm_##kind##_as_extern_const(this_)) == this_);                 \
        wasm_externtype_t *type = wasm_extern_type(item);                                                    \
        CHECK(wasm_externtype_kind(type) == number);                                                         \
        wasm_externtype_delete(type);                                                                        \
        TEST_CASTS(kind, this_);                                                                             \
        TEST_CASTS(extern, item);                                                                            \
    } while (0)

static const char *const EVERYTHING =
    "(module (import \"host\" \"add\" (func $add (param i32 i32) (result i32)))"
    "  (memory (export \"memory\") 1 3) (table (export \"table\") 2 funcref)"
    "  (global (export \"global\") (mut i64) (i64.const 7))"
    "  (func (export \"add\") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))"
    "  (func $trap (export \"trap\") (unreachable)))";

static wasm_trap_t *add(const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    CHECK(args->size == 2 && results->size == 1 && results->data[0].kind == WASM_I32);
    results->data[0].of.i32 = args->data[0].of.i32 + args->data[1].of.i32;
    return NULL;
}

static wasm_trap_t *add_with_env(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results) {
    ++*(int *)env;
    return add(args, results);
}

static void test_references(wasm_store_t *store) {
    wasm_module_t *module = compile(store, EVERYTHING);
    wasm_functype_t *type =
        wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32());
    wasm_func_t *func = wasm_func_new(store, type, add);
    wasm_functype_delete(type);
    CHECK(wasm_func_param_arity(func) == 2 && wasm_func_result_arity(func) == 1);
    type = wasm_func_type(func);
    CHECK(wasm_functype_params(type)->size == 2);
    wasm_functype_delete(type);

    wasm_extern_t *one[] = {wasm_func_as_extern(func)};
    wasm_extern_vec_t imports = WASM_ARRAY_VEC(one);
    wasm_trap_t *trap = (wasm_trap_t *)1;
    wasm_instance_t *instance = wasm_instance_new(store, module, &imports, &trap);
    CHECK(instance != NULL && trap == NULL);

    wasm_importtype_vec_t import_types;
    wasm_exporttype_vec_t export_types;
    wasm_module_imports(module, &import_types);
    wasm_module_exports(module, &export_types);
    CHECK(import_types.size == 1 && name_is(wasm_importtype_module(import_types.data[0]), "host"));
    CHECK(export_types.size == 5 && name_is(wasm_exporttype_name(export_types.data[2]), "global"));
    wasm_importtype_vec_delete(&import_types);
    wasm_exporttype_vec_delete(&export_types);

    wasm_extern_vec_t exports, copy, more;
    wasm_instance_exports(instance, &exports);
    wasm_instance_exports(instance, &more);
    CHECK(exports.size == 5 && more.size == 5);
    for (size_t i = 0; i < 5; ++i) {
        CHECK(exports.data[i] != more.data[i] && wasm_extern_same(exports.data[i], more.data[i]));
        CHECK(!wasm_extern_same(exports.data[i], more.data[(i + 1) % 5]));
    }
    wasm_extern_vec_copy(&copy, &exports);
    CHECK(copy.size == 5 && wasm_extern_same(copy.data[3], exports.data[3]));
    wasm_extern_vec_delete(&copy);
    wasm_extern_vec_delete(&more);
    wasm_extern_vec_new_empty(&copy);
    wasm_extern_vec_new_uninitialized(&copy, 1);
    copy.data[0] = wasm_extern_copy(exports.data[0]);
    wasm_extern_vec_new(&more, 1, copy.data);
    copy.data[0] = NULL;
    wasm_extern_vec_delete(&copy);
    wasm_extern_vec_delete(&more);

    TEST_EXTERN(memory, WASM_EXTERN_MEMORY, wasm_extern_as_memory(exports.data[0]));
    TEST_EXTERN(table, WASM_EXTERN_TABLE, wasm_extern_as_table(exports.data[1]));
    TEST_EXTERN(global, WASM_EXTERN_GLOBAL, wasm_extern_as_global(exports.data[2]));
    TEST_EXTERN(func, WASM_EXTERN_FUNC, wasm_extern_as_func(exports.data[3]));
    TEST_CASTS(instance, instance);
    TEST_CASTS(module, module);
    CHECK(wasm_extern_as_func(exports.data[0]) == NULL && wasm_ref_as_trap(wasm_func_as_ref(func)) == NULL);

    wasm_foreign_t *foreign = wasm_foreign_new(store);
    TEST_CASTS(foreign, foreign);
    static int owner;
    wasm_foreign_set_host_info_with_finalizer(foreign, &owner, finalizer);
    wasm_foreign_t *second = wasm_foreign_copy(foreign);
    wasm_foreign_delete(foreign);
    CHECK(owner == 0);
    wasm_foreign_delete(second);
    CHECK(owner == 1);

    wasm_val_t values[] = {WASM_I32_VAL(40), WASM_I32_VAL(2)}, sum[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(values), results = WASM_ARRAY_VEC(sum), none = WASM_EMPTY_VEC;
    expect_ok(wasm_func_call(wasm_extern_as_func(exports.data[3]), &args, &results));
    CHECK(sum[0].kind == WASM_I32 && sum[0].of.i32 == 42);
    expect_ok(wasm_func_call(func, &args, &results));
    CHECK(sum[0].of.i32 == 42);

    trap = wasm_func_call(wasm_extern_as_func(exports.data[4]), &none, &none);
    CHECK(trap != NULL && aot_wasm_trap_code(trap) == AOT_CODE_UNREACHABLE && aot_wasm_trap_kind(trap) == AOT_ERROR_TRAP);
    CHECK(!aot_wasm_trap_exit_status(trap, NULL));
    TEST_CASTS(trap, trap);
    wasm_frame_t *origin = wasm_trap_origin(trap);
    CHECK(origin != NULL && wasm_frame_func_index(origin) == 2 && wasm_frame_module_offset(origin) > 0);
    CHECK(wasm_frame_instance(origin) == NULL && wasm_frame_func_offset(origin) == 0);
    CHECK(strcmp(aot_frame_func_name(origin), "trap") == 0);
    /* The module says nothing of its source. */
    CHECK(aot_frame_symbol_count(origin) == 0 && aot_frame_symbol_name(origin, 0) == NULL && aot_frame_symbol_file(origin, 0) == NULL);
    CHECK(aot_frame_symbol_line(origin, 0) == 0 && aot_frame_symbol_column(origin, 7) == 0);
    wasm_byte_vec_t backtrace;
    aot_wasm_trap_backtrace(trap, &backtrace);
    CHECK(backtrace.size > 0 && strcmp(backtrace.data, "   0: trap\n") == 0);
    wasm_byte_vec_delete(&backtrace);
    wasm_frame_t *frame = wasm_frame_copy(origin);
    CHECK(wasm_frame_func_index(frame) == 2);
    wasm_frame_delete(origin);
    wasm_frame_vec_t trace, frames, no_frames;
    wasm_trap_trace(trap, &trace);
    CHECK(trace.size == 1 && wasm_frame_func_index(trace.data[0]) == 2);
    wasm_frame_vec_copy(&frames, &trace);
    wasm_frame_vec_new_empty(&no_frames);
    wasm_frame_vec_delete(&no_frames);
    wasm_frame_vec_new_uninitialized(&no_frames, 1);
    wasm_frame_vec_delete(&no_frames);
    wasm_frame_vec_new(&no_frames, 1, &frame);
    wasm_frame_vec_delete(&no_frames);
    wasm_frame_vec_delete(&frames);
    wasm_frame_vec_delete(&trace);
    wasm_trap_delete(trap);

    /* The store lives as long as what is in it. */
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_func_delete(func);
    wasm_store_delete(store);
    expect_ok(wasm_func_call(wasm_extern_as_func(exports.data[3]), &args, &results));
    wasm_extern_vec_delete(&exports);
}

static void test_values(wasm_store_t *store) {
    wasm_foreign_t *foreign = wasm_foreign_new(store);
    wasm_val_t value = WASM_REF_VAL(wasm_foreign_as_ref(foreign)), copy;
    wasm_val_copy(&copy, &value);
    CHECK(copy.of.ref != value.of.ref && wasm_ref_same(copy.of.ref, value.of.ref));
    wasm_val_t two[] = {WASM_F32_VAL(1.5f), WASM_REF_VAL(wasm_ref_copy(value.of.ref))};
    wasm_val_vec_t vec, second, empty;
    wasm_val_vec_new(&vec, 2, two);
    wasm_val_vec_copy(&second, &vec);
    CHECK(second.data[0].of.f32 == 1.5f && second.data[1].of.ref != vec.data[1].of.ref);
    wasm_val_vec_delete(&vec);
    wasm_val_vec_delete(&second);
    wasm_val_vec_new_empty(&empty);
    wasm_val_vec_delete(&empty);
    wasm_val_vec_new_uninitialized(&empty, 3);
    wasm_val_vec_delete(&empty);
    wasm_val_delete(&copy);
    wasm_val_delete(&value);

    wasm_val_t pointer;
    wasm_val_init_ptr(&pointer, store);
    CHECK(wasm_val_ptr(&pointer) == store);
    wasm_val_t number = WASM_F64_VAL(2.5);
    wasm_val_delete(&number);
}

/* Anything can be an external reference, and comes back as it was. */
static void test_external_references(wasm_store_t *store) {
    wasm_instance_t *instance = instantiate(
        store, "(module (table (export \"table\") 4 externref) (global (export \"g\") (mut externref) (ref.null extern))"
               "  (func (export \"same\") (param externref) (result externref) (local.get 0))"
               "  (func (export \"func\") (param funcref) (result funcref) (local.get 0))"
               "  (func (export \"get\") (param i32) (result externref) (table.get (local.get 0))))");
    wasm_extern_t *table_item = aot_instance_export(instance, "table");
    wasm_extern_t *global_item = aot_instance_export(instance, "g");
    wasm_extern_t *func_item = aot_instance_export(instance, "func");
    wasm_table_t *table = wasm_extern_as_table(table_item);
    wasm_foreign_t *foreign = wasm_foreign_new(store);
    static int owner;
    wasm_foreign_set_host_info_with_finalizer(foreign, &owner, finalizer);
    wasm_ref_t *refs[] = {wasm_foreign_as_ref(foreign), wasm_instance_as_ref(instance),
                          wasm_extern_as_ref(func_item), NULL};
    for (uint32_t i = 0; i < 4; ++i) {
        wasm_val_t arg[] = {WASM_REF_VAL(refs[i])}, result[] = {WASM_INIT_VAL}, index[] = {WASM_I32_VAL((int32_t)i)};
        wasm_val_vec_t args = WASM_ARRAY_VEC(arg), results = WASM_ARRAY_VEC(result), indices = WASM_ARRAY_VEC(index);
        expect_ok(aot_instance_call(instance, "same", &args, &results));
        CHECK(wasm_ref_same(result[0].of.ref, refs[i]));
        wasm_val_delete(&result[0]);
        CHECK(wasm_table_set(table, i, refs[i]));
        expect_ok(aot_instance_call(instance, "get", &indices, &results));
        CHECK(wasm_ref_same(result[0].of.ref, refs[i]));
        wasm_val_vec_t own;
        wasm_val_vec_new(&own, 1, result);
        wasm_val_vec_delete(&own);
        wasm_val_t value = WASM_REF_VAL(refs[i]);
        CHECK(aot_global_set(wasm_extern_as_global(global_item), &value));
        wasm_global_get(wasm_extern_as_global(global_item), &value);
        CHECK(wasm_ref_same(value.of.ref, refs[i]));
        wasm_val_delete(&value);
    }
    wasm_ref_t *element = wasm_table_get(table, 1);
    CHECK(wasm_ref_as_instance(element) != NULL && wasm_instance_same(wasm_ref_as_instance(element), instance));
    wasm_ref_delete(element);

    /* Functions as what they are. */
    wasm_val_t arg[] = {WASM_REF_VAL(wasm_extern_as_ref(func_item))}, result[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(arg), results = WASM_ARRAY_VEC(result);
    expect_ok(aot_instance_call(instance, "func", &args, &results));
    CHECK(result[0].kind == WASM_FUNCREF && wasm_ref_as_func(result[0].of.ref) != NULL);
    CHECK(wasm_ref_same(result[0].of.ref, wasm_extern_as_ref(func_item)));
    wasm_val_delete(&result[0]);
    arg[0].of.ref = wasm_foreign_as_ref(foreign);
    expect_trap(aot_instance_call(instance, "func", &args, &results), "no function");

    /* What guests have had is kept as long as their store. */
    wasm_foreign_delete(foreign);
    CHECK(owner == 0);
    wasm_extern_delete(table_item);
    wasm_extern_delete(global_item);
    wasm_extern_delete(func_item);
    wasm_instance_delete(instance);
    wasm_store_delete(store);
    CHECK(owner == 1);
}

static void test_items(wasm_store_t *store) {
    wasm_globaltype_t *global_type = wasm_globaltype_new(wasm_valtype_new_i64(), WASM_VAR);
    wasm_val_t value = WASM_I64_VAL(5), out;
    wasm_global_t *global = wasm_global_new(store, global_type, &value);
    wasm_globaltype_delete(global_type);
    global_type = wasm_global_type(global);
    CHECK(wasm_globaltype_mutability(global_type) == WASM_VAR);
    wasm_globaltype_delete(global_type);
    value.of.i64 = 6;
    wasm_global_set(global, &value);
    wasm_global_get(global, &out);
    CHECK(out.kind == WASM_I64 && out.of.i64 == 6);
    wasm_global_delete(global);

    wasm_limits_t limits = {1, 3};
    wasm_tabletype_t *table_type = wasm_tabletype_new(wasm_valtype_new_externref(), &limits);
    wasm_foreign_t *foreign = wasm_foreign_new(store);
    wasm_table_t *table = wasm_table_new(store, table_type, wasm_foreign_as_ref(foreign));
    wasm_tabletype_delete(table_type);
    CHECK(wasm_table_grow(table, 1, NULL) && wasm_table_size(table) == 2 && !wasm_table_grow(table, 2, NULL));
    table_type = wasm_table_type(table);
    CHECK(wasm_tabletype_limits(table_type)->max == 3);
    wasm_tabletype_delete(table_type);
    wasm_ref_t *element = wasm_table_get(table, 0);
    CHECK(wasm_ref_same(element, wasm_foreign_as_ref(foreign)));
    wasm_ref_delete(element);
    CHECK(wasm_table_get(table, 1) == NULL && wasm_table_get(table, 2) == NULL && last_error_has("no element 2"));
    wasm_table_delete(table);
    wasm_foreign_delete(foreign);

    wasm_memorytype_t *memory_type = wasm_memorytype_new(&limits);
    wasm_memory_t *memory = wasm_memory_new(store, memory_type);
    wasm_memorytype_delete(memory_type);
    CHECK(wasm_memory_size(memory) == 1 && wasm_memory_data_size(memory) == MEMORY_PAGE_SIZE);
    CHECK(wasm_memory_grow(memory, 1) && !wasm_memory_grow(memory, 2));
    memory_type = wasm_memory_type(memory);
    CHECK(wasm_memorytype_limits(memory_type)->min == 2);
    wasm_memorytype_delete(memory_type);
    char text[4];
    CHECK(aot_wasm_memory_write(memory, 0x1fffc, "text", 4) && aot_wasm_memory_read(memory, 0x1fffc, text, 4));
    CHECK(memcmp(text, "text", 4) == 0 && memcmp(wasm_memory_data(memory) + 0x1fffc, "text", 4) == 0);
    CHECK(aot_wasm_memory_range(memory, 0x1fffc, 4) == wasm_memory_data(memory) + 0x1fffc);
    CHECK(aot_wasm_memory_range(memory, 0x20000, 0) != NULL);
    CHECK(!aot_wasm_memory_write(memory, 0x1fffd, "text", 4) && last_error_has("0x1fffd"));
    CHECK(!aot_wasm_memory_read(memory, UINT64_MAX, text, 4) && aot_wasm_memory_range(memory, 0, SIZE_MAX) == NULL);
    wasm_memory_delete(memory);
}

static void test_modules(wasm_engine_t *engine, wasm_store_t *store) {
    wasm_module_t *module = compile(store, EVERYTHING);
    wasm_shared_module_t *shared = wasm_module_share(module);
    wasm_byte_vec_t image, garbage;
    wasm_module_serialize(module, &image);
    CHECK(image.size > 1000);
    wasm_module_delete(module);

    wasm_store_t *other = wasm_store_new(engine);
    module = wasm_module_obtain(other, shared);
    wasm_shared_module_delete(shared);
    wasm_module_delete(module);
    module = wasm_module_deserialize(other, &image);
    CHECK(module != NULL && !aot_module_is_interruptible(module) && !aot_module_counts_fuel(module));
    wasm_module_delete(module);
    module = aot_module_load(image.data, image.size);
    CHECK(module != NULL);
    wasm_module_delete(module);
    char path[] = "/tmp/aot-capi-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, image.data, image.size) == (ssize_t)image.size && close(fd) == 0);
    module = aot_module_load_file(path);
    CHECK(module != NULL && unlink(path) == 0);
    wasm_module_delete(module);

    CHECK(!wasm_module_validate(store, &image) && wasm_module_new(store, &image) == NULL);
    CHECK(last_error_has("aot_module_load") && aot_last_error_kind() == AOT_ERROR_LOAD);
    wasm_byte_vec_delete(&image);
    wasm_byte_vec_new(&garbage, 8, "\0asm\1\0\0\0");
    CHECK(wasm_module_validate(store, &garbage));
    garbage.data[4] = 9;
    CHECK(!wasm_module_validate(store, &garbage) && wasm_module_new(store, &garbage) == NULL);
    CHECK(aot_last_error_kind() == AOT_ERROR_COMPILE);
    wasm_byte_vec_delete(&garbage);
    CHECK(!aot_wat2wasm("(module", 7, &garbage) && garbage.size == 0 && aot_last_error_kind() == AOT_ERROR_COMPILE);
    wasm_store_delete(other);
}

/* What a callback of a linker sees. */
static wasm_trap_t *note(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args,
                         wasm_val_vec_t *results) {
    (void)results;
    size_t size, len = (size_t)args->data[1].of.i32;
    uint64_t offset = (uint32_t)args->data[0].of.i32;
    char *text = env;
    if (!aot_caller_read(caller, offset, text, len)) {
        return aot_wasm_trap_new("the note is not in the memory");
    }
    text[len] = 0;
    char *memory = aot_caller_memory(caller, &size);
    CHECK(size == MEMORY_PAGE_SIZE && memory + offset == aot_caller_range(caller, offset, len));
    CHECK(aot_caller_write(caller, 0, "seen", 4) && !aot_caller_write(caller, size - 3, "seen", 4));
    wasm_store_t *store = aot_caller_store(caller);
    CHECK(strcmp(aot_store_data(store), "data") == 0);

    /* The guest can be called again. */
    wasm_extern_t *item = aot_caller_export(caller, "twice");
    CHECK(item != NULL && aot_caller_export(caller, "nothing") == NULL);
    wasm_val_t arg[] = {WASM_I32_VAL(21)}, result[] = {WASM_INIT_VAL};
    wasm_val_vec_t call_args = WASM_ARRAY_VEC(arg), call_results = WASM_ARRAY_VEC(result);
    expect_ok(wasm_func_call(wasm_extern_as_func(item), &call_args, &call_results));
    CHECK(result[0].of.i32 == 42);
    wasm_extern_delete(item);
    return NULL;
}

static wasm_trap_t *reverse(void *env, const aot_caller_t *caller, aot_raw_t *values) {
    (void)env;
    CHECK(aot_caller_store(caller) != NULL);
    aot_raw_t first = values[0];
    for (int i = 0; i < 16; ++i) {
        values[0].v128[i] = first.v128[15 - i];
    }
    return NULL;
}

static wasm_trap_t *fail(void *env, const aot_caller_t *caller, aot_raw_t *values) {
    (void)caller, (void)values;
    wasm_message_t message;
    wasm_name_new_from_string_nt(&message, "it fails");
    wasm_trap_t *trap = wasm_trap_new(env, &message);
    wasm_byte_vec_delete(&message);
    wasm_trap_set_host_info(trap, env);
    return trap;
}

static void test_linker(wasm_store_t *store) {
    static char text[100];
    static int owner;
    aot_linker_t *linker = aot_linker_new();
    wasm_functype_t *note_type = wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    wasm_functype_t *vector_type = wasm_functype_new_1_1(wasm_valtype_new(AOT_V128), wasm_valtype_new(AOT_V128));
    wasm_functype_t *plain_type = wasm_functype_new_0_0();
    CHECK(aot_linker_define_func(linker, "host", "note", note_type, note, text, NULL));
    CHECK(aot_linker_define_raw(linker, "host", "reverse", vector_type, reverse, &owner, finalizer));
    CHECK(aot_linker_define_raw(linker, "host", "fail", plain_type, fail, store, NULL));
    CHECK(!aot_linker_define_raw(linker, "host", "fail", plain_type, fail, store, NULL));
    CHECK(last_error_has("defined already"));
    aot_linker_allow_shadowing(linker, true);
    CHECK(aot_linker_define_raw(linker, "host", "fail", plain_type, fail, store, NULL));
    aot_linker_allow_shadowing(linker, false);
    CHECK(!aot_linker_define_func(linker, "host", "v", vector_type, note, text, NULL) && last_error_has("v128"));
    CHECK(wasm_func_new(store, vector_type, add) == NULL && last_error_has("v128"));

    aot_store_set_data(store, (void *)"data");
    wasm_module_t *module = compile(
        store, "(module (import \"host\" \"note\" (func $note (param i32 i32)))"
               "  (import \"host\" \"reverse\" (func $reverse (param v128) (result v128)))"
               "  (import \"host\" \"fail\" (func $fail))"
               "  (memory (export \"memory\") 1) (data (i32.const 16) \"a note\")"
               "  (func (export \"note\") (param i32 i32) (call $note (local.get 0) (local.get 1)))"
               "  (func (export \"twice\") (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))"
               "  (func (export \"reverse\") (param v128) (result v128) (call $reverse (local.get 0)))"
               "  (func (export \"fail\") (call $fail)))");
    wasm_trap_t *trap = NULL;
    wasm_instance_t *instance = aot_linker_instantiate(linker, store, module, &trap);
    CHECK(instance != NULL && trap == NULL);
    wasm_val_t values[] = {WASM_I32_VAL(16), WASM_I32_VAL(6)};
    wasm_val_vec_t args = WASM_ARRAY_VEC(values), none = WASM_EMPTY_VEC;
    expect_ok(aot_instance_call(instance, "note", &args, &none));
    CHECK(strcmp(text, "a note") == 0);
    values[0].of.i32 = -1;
    expect_trap(aot_instance_call(instance, "note", &args, &none), "the note is not in the memory");
    expect_trap(aot_instance_call(instance, "nothing", &args, &none), "exports no function `nothing`");
    trap = aot_instance_call(instance, "fail", &none, &none);
    CHECK(trap != NULL && wasm_trap_get_host_info(trap) == store && aot_wasm_trap_kind(trap) == AOT_ERROR_HOST);
    expect_trap(trap, "it fails");

    wasm_extern_t *item = aot_instance_export(instance, "reverse");
    aot_raw_t raw[1];
    for (int i = 0; i < 16; ++i) {
        raw[0].v128[i] = (uint8_t)i;
    }
    expect_ok(aot_func_call_raw(wasm_extern_as_func(item), raw, 1));
    CHECK(raw[0].v128[0] == 15 && raw[0].v128[15] == 0);
    expect_trap(wasm_func_call(wasm_extern_as_func(item), &args, &args), "v128");
    expect_trap(aot_func_call_raw(wasm_extern_as_func(item), raw, 0), "0 arguments");
    wasm_extern_delete(item);

    /* Another linker with what the first has, an instance, and traps for the rest. */
    aot_linker_t *second = aot_linker_copy(linker);
    CHECK(aot_linker_define_instance(second, "first", instance));
    item = aot_instance_export(instance, "memory");
    CHECK(aot_linker_define(second, "host", "memory", item));
    wasm_extern_delete(item);
    wasm_module_t *importer =
        compile(store, "(module (import \"first\" \"twice\" (func $twice (param i32) (result i32)))"
                       "  (import \"host\" \"memory\" (memory 1)) (import \"un\" \"known\" (func $unknown))"
                       "  (func (export \"four\") (result i32)"
                       "    (i32.add (i32.load8_u (i32.const 16)) (call $twice (i32.const 2))))"
                       "  (func (export \"unknown\") (call $unknown)))");
    CHECK(aot_linker_instantiate(second, store, importer, NULL) == NULL);
    CHECK(aot_last_error_kind() == AOT_ERROR_IMPORT && last_error_has("`un` `known`"));
    CHECK(aot_linker_define_unknown_imports_as_traps(second, importer));
    wasm_instance_t *importing = aot_linker_instantiate(second, store, importer, NULL);
    CHECK(importing != NULL);
    wasm_val_t result[] = {WASM_INIT_VAL};
    wasm_val_vec_t results = WASM_ARRAY_VEC(result);
    expect_ok(aot_instance_call(importing, "four", &none, &results));
    CHECK(result[0].of.i32 == 'a' + 4);
    expect_trap(aot_instance_call(importing, "unknown", &none, &none), "`un` `known`");

    /* What a linker has is good for the host too. */
    item = aot_linker_get(linker, store, "host", "reverse");
    raw[0].v128[0] = 1;
    expect_ok(aot_func_call_raw(wasm_extern_as_func(item), raw, 1));
    CHECK(raw[0].v128[15] == 1);
    wasm_extern_delete(item);
    CHECK(aot_linker_get(linker, store, "host", "nothing") == NULL && aot_last_error_kind() == AOT_ERROR_IMPORT);

    wasm_instance_delete(importing);
    wasm_instance_delete(instance);
    wasm_module_delete(importer);
    wasm_module_delete(module);
    wasm_functype_delete(note_type);
    wasm_functype_delete(vector_type);
    wasm_functype_delete(plain_type);
    aot_linker_delete(linker);
    aot_linker_delete(second);
    CHECK(owner == 0);
    wasm_store_delete(store);
    CHECK(owner == 1);
}

static void test_functions(wasm_store_t *store) {
    static int calls, owner, second, third;
    wasm_functype_t *type =
        wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32());
    wasm_func_t *func = wasm_func_new_with_env(store, type, add_with_env, &calls, finalizer);
    aot_raw_t raw[2] = {{.i32 = 1}, {.i32 = 2}};
    expect_ok(aot_func_call_raw(func, raw, 2));
    CHECK(raw[0].i32 == 3 && calls == 1);
    wasm_func_delete(func);
    wasm_functype_delete(type);

    type = wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32());
    func = aot_func_new(store, type, note, &owner, finalizer);
    /* No instance calls it, so there is no memory. */
    expect_trap(aot_func_call_raw(func, raw, 2), "the note is not in the memory");
    wasm_func_delete(func);
    wasm_functype_delete(type);
    type = wasm_functype_new_1_1(wasm_valtype_new(AOT_V128), wasm_valtype_new(AOT_V128));
    func = aot_func_new_raw(store, type, reverse, &second, finalizer);
    expect_ok(aot_func_call_raw(func, raw, 1));
    wasm_func_delete(func);
    CHECK(aot_func_new(store, type, note, &third, finalizer) == NULL && third == 1);
    wasm_functype_delete(type);
    CHECK(calls == 1 && owner == 0 && second == 0);
    wasm_store_delete(store);
    CHECK(calls == 2 && owner == 1 && second == 1);
}

static void test_limits(wasm_engine_t *plain) {
    wasm_store_t *store = wasm_store_new(plain);
    aot_limits_t limits = AOT_NO_LIMITS;
    limits.memory_bytes = 2 * MEMORY_PAGE_SIZE;
    limits.table_elements = 5;
    limits.instances = 1;
    CHECK(aot_store_set_limits(store, &limits));
    wasm_instance_t *instance = instantiate(store, "(module (memory (export \"m\") 1) (table (export \"t\") 1 funcref))");
    wasm_extern_t *memory = aot_instance_export(instance, "m"), *table = aot_instance_export(instance, "t");
    CHECK(wasm_memory_grow(wasm_extern_as_memory(memory), 1) && !wasm_memory_grow(wasm_extern_as_memory(memory), 1));
    CHECK(aot_last_error_kind() == AOT_ERROR_MEMORY);
    CHECK(wasm_table_grow(wasm_extern_as_table(table), 4, NULL));
    CHECK(!wasm_table_grow(wasm_extern_as_table(table), 1, NULL));
    wasm_module_t *module = compile(store, "(module)");
    wasm_extern_vec_t none = WASM_EMPTY_VEC;
    wasm_trap_t *trap;
    CHECK(wasm_instance_new(store, module, &none, &trap) == NULL && aot_last_error_kind() == AOT_ERROR_LIMIT);
    expect_trap(trap, "no more instances");
    wasm_module_delete(module);
    wasm_extern_delete(memory);
    wasm_extern_delete(table);
    wasm_instance_delete(instance);
    wasm_store_delete(store);

    wasm_config_t *config = wasm_config_new();
    wasm_config_delete(config);
    config = wasm_config_new();
    aot_config_set_interruptible(config, true);
    aot_config_set_fuel(config, true);
    aot_config_set_optimise(config, false);
    aot_config_set_native_cpu(config, false);
    aot_config_set_max_wasm_stack(config, 100000);
    aot_config_set_pooled_memories(config, 1);
    aot_config_set_debugger(config, true);
    aot_config_set_profiling(config, AOT_PROFILING_PERF_MAP);
    aot_config_set_profiling(config, AOT_PROFILING_NONE);
    wasm_engine_t *engine = wasm_engine_new_with_config(config);
    store = wasm_store_new(engine);
    module = compile(store, "(module (func (export \"forever\") (loop (br 0)))"
                            "  (func $deep (export \"deep\") (call $deep)))");
    CHECK(aot_module_is_interruptible(module) && aot_module_counts_fuel(module));
    instance = wasm_instance_new(store, module, &none, NULL);
    wasm_val_vec_t values = WASM_EMPTY_VEC;
    expect_trap(aot_instance_call(instance, "forever", &values, &values), "fuel");
    CHECK(aot_store_set_fuel(store, 100000));
    trap = aot_instance_call(instance, "forever", &values, &values);
    CHECK(aot_wasm_trap_code(trap) == AOT_CODE_OUT_OF_FUEL && aot_store_fuel(store) == 0);
    wasm_trap_delete(trap);
    CHECK(aot_store_set_fuel(store, UINT64_MAX) && aot_store_fuel(store) > 100000);
    trap = aot_instance_call(instance, "deep", &values, &values);
    CHECK(aot_wasm_trap_code(trap) == AOT_CODE_STACK_OVERFLOW);
    wasm_trap_delete(trap);
    aot_interrupt_t *interrupt = aot_store_interrupt(store);
    aot_interrupt_now(interrupt);
    trap = aot_instance_call(instance, "forever", &values, &values);
    CHECK(aot_wasm_trap_code(trap) == AOT_CODE_INTERRUPT);
    wasm_trap_delete(trap);
    CHECK(aot_store_set_deadline(store, 1));
    aot_engine_tick(engine);
    expect_trap(aot_instance_call(instance, "forever", &values, &values), "interrupted");
    CHECK(aot_store_set_deadline(store, 1) && aot_store_clear_deadline(store));
    aot_engine_tick(engine);
    CHECK(aot_store_set_fuel(store, 1000));
    expect_trap(aot_instance_call(instance, "forever", &values, &values), "fuel");
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
    /* It may be there longer than the store. */
    aot_interrupt_now(interrupt);
    aot_interrupt_delete(interrupt);
    wasm_engine_delete(engine);
}

static void test_wasi(wasm_engine_t *engine) {
    static const char *const PROGRAM =
        "(module (import \"wasi_snapshot_preview1\" \"args_sizes_get\" (func $args (param i32 i32) (result i32)))"
        "  (import \"wasi_snapshot_preview1\" \"environ_sizes_get\" (func $env (param i32 i32) (result i32)))"
        "  (import \"wasi_snapshot_preview1\" \"fd_read\" (func $read (param i32 i32 i32 i32) (result i32)))"
        "  (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
        "  (import \"wasi_snapshot_preview1\" \"fd_prestat_get\" (func $prestat (param i32 i32) (result i32)))"
        "  (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
        "  (memory (export \"memory\") 1)"
        "  (func (export \"args\") (result i32) (drop (call $args (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))"
        "  (func (export \"env\") (result i32) (drop (call $env (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))"
        "  (func (export \"dir\") (result i32) (call $prestat (i32.const 3) (i32.const 0)))"
        "  (func (export \"copy\") (param i32)"
        "    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 50))"
        "    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))"
        "    (drop (call $write (local.get 0) (i32.const 0) (i32.const 1) (i32.const 8))))"
        "  (func (export \"exit\") (param i32) (call $exit (local.get 0))))";
    wasm_store_t *store = wasm_store_new(engine);
    wasm_module_t *module = compile(store, PROGRAM);
    aot_linker_t *linker = aot_linker_new();
    CHECK(aot_linker_define_wasi(linker) && !aot_linker_define_wasi(linker));
    wasm_val_t number[] = {WASM_I32_VAL(1)}, result[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(number), results = WASM_ARRAY_VEC(result), none = WASM_EMPTY_VEC;

    /* Nothing is given. */
    wasm_instance_t *instance = aot_linker_instantiate(linker, store, module, NULL);
    expect_ok(aot_instance_call(instance, "args", &none, &results));
    CHECK(result[0].of.i32 == 0);
    expect_ok(aot_instance_call(instance, "env", &none, &results));
    CHECK(result[0].of.i32 == 0);
    expect_ok(aot_instance_call(instance, "dir", &none, &results));
    CHECK(result[0].of.i32 == 8 /* badf */);
    wasm_byte_vec_t output;
    CHECK(!aot_store_output(store, 1, &output) && output.size == 0);
    CHECK(!aot_store_output(store, -7, &output) && output.size == 0);

    aot_wasi_t *wasi = aot_wasi_new();
    aot_wasi_delete(wasi);
    wasi = aot_wasi_new();
    aot_wasi_arg(wasi, "program");
    aot_wasi_arg(wasi, "argument");
    aot_wasi_env(wasi, "NAME", "value");
    aot_wasi_preopen(wasi, "/tmp", "/scratch");
    aot_wasi_input(wasi, "some text", 9);
    CHECK(aot_wasi_capture(wasi, 1, 1000) && aot_wasi_capture(wasi, 2, 4) && !aot_wasi_capture(wasi, 0, 4));
    CHECK(!aot_wasi_capture(wasi, 3, 4) && last_error_has("no standard stream 3"));
    CHECK(aot_store_set_wasi(store, wasi));
    expect_ok(aot_instance_call(instance, "args", &none, &results));
    CHECK(result[0].of.i32 == 2);
    expect_ok(aot_instance_call(instance, "env", &none, &results));
    CHECK(result[0].of.i32 == 1);
    expect_ok(aot_instance_call(instance, "dir", &none, &results));
    CHECK(result[0].of.i32 == 0);
    expect_ok(aot_instance_call(instance, "copy", &args, &none));
    CHECK(aot_store_output(store, 1, &output) && output.size == 9 && memcmp(output.data, "some text", 9) == 0);
    wasm_byte_vec_delete(&output);
    CHECK(aot_store_output(store, 2, &output) && output.size == 0);

    number[0].of.i32 = 7;
    wasm_trap_t *trap = aot_instance_call(instance, "exit", &args, &none);
    uint32_t status;
    CHECK(trap != NULL && aot_wasm_trap_exit_status(trap, &status) && status == 7 && aot_wasm_trap_kind(trap) == AOT_ERROR_EXIT);
    expect_trap(trap, "exited with status 7");

    /* Files, descriptors, the process's own streams. */
    char path[] = "/tmp/aot-capi-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "file", 4) == 4 && lseek(fd, 0, SEEK_SET) == 0);
    wasi = aot_wasi_new();
    aot_wasi_inherit_stdio(wasi);
    aot_wasi_inherit_env(wasi);
    int pipes[2];
    char text[10];
    CHECK(pipe(pipes) == 0 && aot_wasi_fd(wasi, 0, fd) && aot_wasi_fd(wasi, 1, pipes[1]) && aot_wasi_inherit(wasi, 2));
    CHECK(!aot_wasi_fd(wasi, 1, 12345) && !aot_wasi_fd(wasi, 1, -1) && !aot_wasi_inherit(wasi, 5));
    CHECK(aot_store_set_wasi(store, wasi) && close(fd) == 0 && close(pipes[1]) == 0);
    number[0].of.i32 = 1;
    expect_ok(aot_instance_call(instance, "copy", &args, &none));
    CHECK(read(pipes[0], text, sizeof text) == 4 && memcmp(text, "file", 4) == 0 && close(pipes[0]) == 0);
    wasi = aot_wasi_new();
    CHECK(aot_wasi_file(wasi, 0, path) && !aot_wasi_file(wasi, 0, "/does/not/exist") && last_error_has("/does/not"));
    CHECK(aot_wasi_file(wasi, 1, "/dev/null") && aot_store_set_wasi(store, wasi) && unlink(path) == 0);
    expect_ok(aot_instance_call(instance, "copy", &args, &none));
    wasi = aot_wasi_new();
    aot_wasi_preopen(wasi, "/does/not/exist", "/");
    CHECK(!aot_store_set_wasi(store, wasi) && last_error_has("/does/not/exist"));

    aot_linker_delete(linker);
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wasm_store_delete(store);
}

/* Valgrind does not make the main thread's stack larger when it delivers a signal. */
static void touch_stack(void) {
    volatile char stack[300000];
    for (size_t i = 0; i < sizeof stack; i += 1000) {
        stack[i] = 0;
    }
}

int main(void) {
    touch_stack();
    CHECK(aot_has_compiler() && strlen(aot_version()) > 0);
    CHECK(strcmp(aot_last_error(), "") == 0 && aot_last_error_kind() == AOT_ERROR_NONE);
    aot_set_debug(false);
    test_types();
    test_bytes();
    wasm_engine_t *engine = wasm_engine_new();
    test_references(wasm_store_new(engine));
    test_external_references(wasm_store_new(engine));
    test_linker(wasm_store_new(engine));
    test_functions(wasm_store_new(engine));
    wasm_store_t *store = wasm_store_new(engine);
    test_values(store);
    test_items(store);
    test_modules(engine, store);
    test_limits(engine);
    test_wasi(engine);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    CHECK(aot_last_error_kind() != AOT_ERROR_NONE);
    aot_clear_error();
    CHECK(strcmp(aot_last_error(), "") == 0 && aot_last_error_kind() == AOT_ERROR_NONE);
    printf("%d finalized\n", finalized);
    return 0;
}
