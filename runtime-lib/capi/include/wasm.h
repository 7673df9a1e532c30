/* The standard C interface of WebAssembly engines (wasm-c-api), as libaot implements it.
 *
 * `own` marks what changes hands: an argument that the function takes over, or a result that the caller has to delete.
 * Everything else is borrowed. docs/c-api.md says how this library treats what the standard leaves open; what it adds is
 * in aot.h.
 */
#ifndef WASM_H
#define WASM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef WASM_API_EXTERN
#define WASM_API_EXTERN
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef char byte_t;
typedef float float32_t;
typedef double float64_t;

#define own

/* What each kind of thing has, by its name. */

/* An opaque type with a function that deletes it. Deleting NULL does nothing. */
#define WASM_H_OPAQUE(name)                                                                                  \
    typedef struct wasm_##name##_t wasm_##name##_t;                                                          \
    WASM_API_EXTERN void wasm_##name##_delete(own wasm_##name##_t *);

/* Vectors. `element` is what lies in them; they own it. */
#define WASM_H_VECTOR_OF(name, element)                                                                      \
    typedef struct wasm_##name##_vec_t {                                                                     \
        size_t size;                                                                                         \
        element *data;                                                                                       \
    } wasm_##name##_vec_t;                                                                                   \
    WASM_API_EXTERN void wasm_##name##_vec_new_empty(own wasm_##name##_vec_t *out);                          \
    WASM_API_EXTERN void wasm_##name##_vec_new_uninitialized(own wasm_##name##_vec_t *out, size_t size);     \
    WASM_API_EXTERN void wasm_##name##_vec_new(own wasm_##name##_vec_t *out, size_t size,                    \
                                               own element const data[]);                                    \
    WASM_API_EXTERN void wasm_##name##_vec_copy(own wasm_##name##_vec_t *out, const wasm_##name##_vec_t *);  \
    WASM_API_EXTERN void wasm_##name##_vec_delete(own wasm_##name##_vec_t *);
#define WASM_H_VECTOR_OF_VALUES(name) WASM_H_VECTOR_OF(name, wasm_##name##_t)
#define WASM_H_VECTOR_OF_POINTERS(name) WASM_H_VECTOR_OF(name, wasm_##name##_t *)

/* Types of things: plain descriptions, which belong to no store. */
#define WASM_H_TYPE(name)                                                                                    \
    WASM_H_OPAQUE(name)                                                                                      \
    WASM_H_VECTOR_OF_POINTERS(name)                                                                          \
    WASM_API_EXTERN own wasm_##name##_t *wasm_##name##_copy(const wasm_##name##_t *);

/* References to what a store has. A copy is one more reference to the same thing, and host information is the thing's,
 * not the reference's. */
#define WASM_H_ANY_REFERENCE(name)                                                                           \
    WASM_H_OPAQUE(name)                                                                                      \
    WASM_API_EXTERN own wasm_##name##_t *wasm_##name##_copy(const wasm_##name##_t *);                        \
    WASM_API_EXTERN bool wasm_##name##_same(const wasm_##name##_t *, const wasm_##name##_t *);               \
    WASM_API_EXTERN void *wasm_##name##_get_host_info(const wasm_##name##_t *);                              \
    WASM_API_EXTERN void wasm_##name##_set_host_info(wasm_##name##_t *, void *);                             \
    WASM_API_EXTERN void wasm_##name##_set_host_info_with_finalizer(wasm_##name##_t *, void *,               \
                                                                    void (*finalizer)(void *));
#define WASM_H_REFERENCE(name)                                                                               \
    WASM_H_ANY_REFERENCE(name)                                                                               \
    WASM_API_EXTERN wasm_ref_t *wasm_##name##_as_ref(wasm_##name##_t *);                                     \
    WASM_API_EXTERN wasm_##name##_t *wasm_ref_as_##name(wasm_ref_t *);                                       \
    WASM_API_EXTERN const wasm_ref_t *wasm_##name##_as_ref_const(const wasm_##name##_t *);                   \
    WASM_API_EXTERN const wasm_##name##_t *wasm_ref_as_##name##_const(const wasm_ref_t *);

/* Conversions between a kind of thing and what it is a kind of: the same pointer, or NULL if it is of another kind. */
#define WASM_H_CONVERSIONS(kind, general)                                                                    \
    WASM_API_EXTERN wasm_##general##_t *wasm_##kind##_as_##general(wasm_##kind##_t *);                       \
    WASM_API_EXTERN const wasm_##general##_t *wasm_##kind##_as_##general##_const(const wasm_##kind##_t *);
#define WASM_H_CONVERSIONS_BACK(general, kind) WASM_H_CONVERSIONS(general, kind)

/* Bytes, names. */

typedef byte_t wasm_byte_t;
WASM_H_VECTOR_OF_VALUES(byte)

typedef wasm_byte_vec_t wasm_name_t;
#define wasm_name wasm_byte_vec
#define wasm_name_new wasm_byte_vec_new
#define wasm_name_new_empty wasm_byte_vec_new_empty
#define wasm_name_new_uninitialized wasm_byte_vec_new_uninitialized
#define wasm_name_new_new_uninitialized wasm_byte_vec_new_uninitialized
#define wasm_name_copy wasm_byte_vec_copy
#define wasm_name_delete wasm_byte_vec_delete

static inline void wasm_name_new_from_string(own wasm_name_t *out, const char *text) {
    wasm_name_new(out, strlen(text), text);
}

/* With the zero at its end. */
static inline void wasm_name_new_from_string_nt(own wasm_name_t *out, const char *text) {
    wasm_name_new(out, strlen(text) + 1, text);
}

/* Engine, store. */

WASM_H_OPAQUE(config)
WASM_API_EXTERN own wasm_config_t *wasm_config_new(void);

WASM_H_OPAQUE(engine)
WASM_API_EXTERN own wasm_engine_t *wasm_engine_new(void);
WASM_API_EXTERN own wasm_engine_t *wasm_engine_new_with_config(own wasm_config_t *);

WASM_H_OPAQUE(store)
WASM_API_EXTERN own wasm_store_t *wasm_store_new(wasm_engine_t *);

/* Types of values. */

typedef uint8_t wasm_mutability_t;
enum wasm_mutability_enum { WASM_CONST, WASM_VAR };

typedef struct wasm_limits_t {
    uint32_t min;
    uint32_t max;
} wasm_limits_t;

/* No maximum. */
static const uint32_t wasm_limits_max_default = 0xffffffff;

WASM_H_TYPE(valtype)

typedef uint8_t wasm_valkind_t;
enum wasm_valkind_enum { WASM_I32, WASM_I64, WASM_F32, WASM_F64, WASM_EXTERNREF = 128, WASM_FUNCREF };

WASM_API_EXTERN own wasm_valtype_t *wasm_valtype_new(wasm_valkind_t);
WASM_API_EXTERN wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *);

static inline bool wasm_valkind_is_num(wasm_valkind_t kind) {
    return kind < WASM_EXTERNREF;
}

static inline bool wasm_valkind_is_ref(wasm_valkind_t kind) {
    return kind >= WASM_EXTERNREF;
}

static inline bool wasm_valtype_is_num(const wasm_valtype_t *type) {
    return wasm_valkind_is_num(wasm_valtype_kind(type));
}

static inline bool wasm_valtype_is_ref(const wasm_valtype_t *type) {
    return wasm_valkind_is_ref(wasm_valtype_kind(type));
}

/* Types of what is imported and exported. */

WASM_H_TYPE(functype)
WASM_API_EXTERN own wasm_functype_t *wasm_functype_new(own wasm_valtype_vec_t *params,
                                                       own wasm_valtype_vec_t *results);
WASM_API_EXTERN const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *);
WASM_API_EXTERN const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *);

WASM_H_TYPE(globaltype)
WASM_API_EXTERN own wasm_globaltype_t *wasm_globaltype_new(own wasm_valtype_t *, wasm_mutability_t);
WASM_API_EXTERN const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *);
WASM_API_EXTERN wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *);

WASM_H_TYPE(tabletype)
WASM_API_EXTERN own wasm_tabletype_t *wasm_tabletype_new(own wasm_valtype_t *, const wasm_limits_t *);
WASM_API_EXTERN const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *);
WASM_API_EXTERN const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *);

WASM_H_TYPE(memorytype)
WASM_API_EXTERN own wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *);
WASM_API_EXTERN const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *);

WASM_H_TYPE(tagtype)
WASM_API_EXTERN own wasm_tagtype_t *wasm_tagtype_new(own wasm_functype_t *);
WASM_API_EXTERN const wasm_functype_t *wasm_tagtype_functype(const wasm_tagtype_t *);

WASM_H_TYPE(externtype)

typedef uint8_t wasm_externkind_t;
enum wasm_externkind_enum {
    WASM_EXTERN_FUNC,
    WASM_EXTERN_GLOBAL,
    WASM_EXTERN_TABLE,
    WASM_EXTERN_MEMORY,
    WASM_EXTERN_TAG
};

WASM_API_EXTERN wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *);

WASM_H_CONVERSIONS(functype, externtype)
WASM_H_CONVERSIONS(globaltype, externtype)
WASM_H_CONVERSIONS(tabletype, externtype)
WASM_H_CONVERSIONS(memorytype, externtype)
WASM_H_CONVERSIONS(tagtype, externtype)
WASM_H_CONVERSIONS_BACK(externtype, functype)
WASM_H_CONVERSIONS_BACK(externtype, globaltype)
WASM_H_CONVERSIONS_BACK(externtype, tabletype)
WASM_H_CONVERSIONS_BACK(externtype, memorytype)
WASM_H_CONVERSIONS_BACK(externtype, tagtype)

WASM_H_TYPE(importtype)
WASM_API_EXTERN own wasm_importtype_t *wasm_importtype_new(own wasm_name_t *module, own wasm_name_t *name,
                                                           own wasm_externtype_t *);
WASM_API_EXTERN const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *);
WASM_API_EXTERN const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *);
WASM_API_EXTERN const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *);

WASM_H_TYPE(exporttype)
WASM_API_EXTERN own wasm_exporttype_t *wasm_exporttype_new(own wasm_name_t *, own wasm_externtype_t *);
WASM_API_EXTERN const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *);
WASM_API_EXTERN const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *);

/* Values. */

struct wasm_ref_t;

typedef struct wasm_val_t {
    wasm_valkind_t kind;
    union {
        int32_t i32;
        int64_t i64;
        float32_t f32;
        float64_t f64;
        struct wasm_ref_t *ref;
    } of;
} wasm_val_t;

WASM_API_EXTERN void wasm_val_delete(own wasm_val_t *);
WASM_API_EXTERN void wasm_val_copy(own wasm_val_t *out, const wasm_val_t *);
WASM_H_VECTOR_OF_VALUES(val)

/* References. */

WASM_H_ANY_REFERENCE(ref)

/* Frames, traps. */

struct wasm_instance_t;

WASM_H_OPAQUE(frame)
WASM_H_VECTOR_OF_POINTERS(frame)
WASM_API_EXTERN own wasm_frame_t *wasm_frame_copy(const wasm_frame_t *);
WASM_API_EXTERN struct wasm_instance_t *wasm_frame_instance(const wasm_frame_t *);
WASM_API_EXTERN uint32_t wasm_frame_func_index(const wasm_frame_t *);
WASM_API_EXTERN size_t wasm_frame_func_offset(const wasm_frame_t *);
WASM_API_EXTERN size_t wasm_frame_module_offset(const wasm_frame_t *);

/* Ends with a zero. */
typedef wasm_name_t wasm_message_t;

WASM_H_REFERENCE(trap)
WASM_API_EXTERN own wasm_trap_t *wasm_trap_new(wasm_store_t *, const wasm_message_t *);
WASM_API_EXTERN void wasm_trap_message(const wasm_trap_t *, own wasm_message_t *out);
WASM_API_EXTERN own wasm_frame_t *wasm_trap_origin(const wasm_trap_t *);
WASM_API_EXTERN void wasm_trap_trace(const wasm_trap_t *, own wasm_frame_vec_t *out);

/* Things of the host, as references for guests. */

WASM_H_REFERENCE(foreign)
WASM_API_EXTERN own wasm_foreign_t *wasm_foreign_new(wasm_store_t *);

/* Modules. */

WASM_H_REFERENCE(module)
WASM_H_OPAQUE(shared_module)
WASM_API_EXTERN own wasm_shared_module_t *wasm_module_share(const wasm_module_t *);
WASM_API_EXTERN own wasm_module_t *wasm_module_obtain(wasm_store_t *, const wasm_shared_module_t *);

WASM_API_EXTERN own wasm_module_t *wasm_module_new(wasm_store_t *, const wasm_byte_vec_t *binary);
WASM_API_EXTERN bool wasm_module_validate(wasm_store_t *, const wasm_byte_vec_t *binary);
WASM_API_EXTERN void wasm_module_imports(const wasm_module_t *, own wasm_importtype_vec_t *out);
WASM_API_EXTERN void wasm_module_exports(const wasm_module_t *, own wasm_exporttype_vec_t *out);
WASM_API_EXTERN void wasm_module_serialize(const wasm_module_t *, own wasm_byte_vec_t *out);
/* The bytes become machine code that is run: they have to come from wasm_module_serialize or from `aot build`, by a way
 * that is trusted. */
WASM_API_EXTERN own wasm_module_t *wasm_module_deserialize(wasm_store_t *, const wasm_byte_vec_t *);

/* Functions. */

WASM_H_REFERENCE(func)

typedef own wasm_trap_t *(*wasm_func_callback_t)(const wasm_val_vec_t *args, own wasm_val_vec_t *results);
typedef own wasm_trap_t *(*wasm_func_callback_with_env_t)(void *env, const wasm_val_vec_t *args,
                                                          wasm_val_vec_t *results);

WASM_API_EXTERN own wasm_func_t *wasm_func_new(wasm_store_t *, const wasm_functype_t *, wasm_func_callback_t);
WASM_API_EXTERN own wasm_func_t *wasm_func_new_with_env(wasm_store_t *, const wasm_functype_t *,
                                                        wasm_func_callback_with_env_t, void *env,
                                                        void (*finalizer)(void *));
WASM_API_EXTERN own wasm_functype_t *wasm_func_type(const wasm_func_t *);
WASM_API_EXTERN size_t wasm_func_param_arity(const wasm_func_t *);
WASM_API_EXTERN size_t wasm_func_result_arity(const wasm_func_t *);
WASM_API_EXTERN own wasm_trap_t *wasm_func_call(const wasm_func_t *, const wasm_val_vec_t *args,
                                                wasm_val_vec_t *results);

/* Globals, tables, memories. */

WASM_H_REFERENCE(global)
WASM_API_EXTERN own wasm_global_t *wasm_global_new(wasm_store_t *, const wasm_globaltype_t *,
                                                   const wasm_val_t *);
WASM_API_EXTERN own wasm_globaltype_t *wasm_global_type(const wasm_global_t *);
WASM_API_EXTERN void wasm_global_get(const wasm_global_t *, own wasm_val_t *out);
WASM_API_EXTERN void wasm_global_set(wasm_global_t *, const wasm_val_t *);

WASM_H_REFERENCE(table)
typedef uint32_t wasm_table_size_t;
WASM_API_EXTERN own wasm_table_t *wasm_table_new(wasm_store_t *, const wasm_tabletype_t *, wasm_ref_t *init);
WASM_API_EXTERN own wasm_tabletype_t *wasm_table_type(const wasm_table_t *);
WASM_API_EXTERN own wasm_ref_t *wasm_table_get(const wasm_table_t *, wasm_table_size_t index);
WASM_API_EXTERN bool wasm_table_set(wasm_table_t *, wasm_table_size_t index, wasm_ref_t *);
WASM_API_EXTERN wasm_table_size_t wasm_table_size(const wasm_table_t *);
WASM_API_EXTERN bool wasm_table_grow(wasm_table_t *, wasm_table_size_t delta, wasm_ref_t *init);

WASM_H_REFERENCE(memory)
typedef uint32_t wasm_memory_pages_t;
static const size_t MEMORY_PAGE_SIZE = 0x10000;
WASM_API_EXTERN own wasm_memory_t *wasm_memory_new(wasm_store_t *, const wasm_memorytype_t *);
WASM_API_EXTERN own wasm_memorytype_t *wasm_memory_type(const wasm_memory_t *);
WASM_API_EXTERN byte_t *wasm_memory_data(wasm_memory_t *);
WASM_API_EXTERN size_t wasm_memory_data_size(const wasm_memory_t *);
WASM_API_EXTERN wasm_memory_pages_t wasm_memory_size(const wasm_memory_t *);
WASM_API_EXTERN bool wasm_memory_grow(wasm_memory_t *, wasm_memory_pages_t delta);

/* What is imported and exported. */

WASM_H_REFERENCE(extern)
WASM_H_VECTOR_OF_POINTERS(extern)
WASM_API_EXTERN wasm_externkind_t wasm_extern_kind(const wasm_extern_t *);
WASM_API_EXTERN own wasm_externtype_t *wasm_extern_type(const wasm_extern_t *);

WASM_H_CONVERSIONS(func, extern)
WASM_H_CONVERSIONS(global, extern)
WASM_H_CONVERSIONS(table, extern)
WASM_H_CONVERSIONS(memory, extern)
WASM_H_CONVERSIONS_BACK(extern, func)
WASM_H_CONVERSIONS_BACK(extern, global)
WASM_H_CONVERSIONS_BACK(extern, table)
WASM_H_CONVERSIONS_BACK(extern, memory)

/* Instances. */

WASM_H_REFERENCE(instance)
WASM_API_EXTERN own wasm_instance_t *wasm_instance_new(wasm_store_t *, const wasm_module_t *,
                                                       const wasm_extern_vec_t *imports, own wasm_trap_t **);
WASM_API_EXTERN void wasm_instance_exports(const wasm_instance_t *, own wasm_extern_vec_t *out);

/* Conveniences. */

#define WASM_EMPTY_VEC {0, NULL}
#define WASM_ARRAY_VEC(array) {sizeof(array) / sizeof(*(array)), array}

static inline own wasm_valtype_t *wasm_valtype_new_i32(void) {
    return wasm_valtype_new(WASM_I32);
}

static inline own wasm_valtype_t *wasm_valtype_new_i64(void) {
    return wasm_valtype_new(WASM_I64);
}

static inline own wasm_valtype_t *wasm_valtype_new_f32(void) {
    return wasm_valtype_new(WASM_F32);
}

static inline own wasm_valtype_t *wasm_valtype_new_f64(void) {
    return wasm_valtype_new(WASM_F64);
}

static inline own wasm_valtype_t *wasm_valtype_new_externref(void) {
    return wasm_valtype_new(WASM_EXTERNREF);
}

static inline own wasm_valtype_t *wasm_valtype_new_funcref(void) {
    return wasm_valtype_new(WASM_FUNCREF);
}

/* Function types of a few parameters and results: wasm_functype_new_PARAMS_RESULTS. */
static inline own wasm_functype_t *wasm_h_functype(size_t param_count, own wasm_valtype_t *const params[],
                                                   size_t result_count, own wasm_valtype_t *const results[]) {
    wasm_valtype_vec_t param_vec, result_vec;
    wasm_valtype_vec_new(&param_vec, param_count, params);
    wasm_valtype_vec_new(&result_vec, result_count, results);
    return wasm_functype_new(&param_vec, &result_vec);
}

static inline own wasm_functype_t *wasm_functype_new_0_0(void) {
    return wasm_h_functype(0, NULL, 0, NULL);
}

static inline own wasm_functype_t *wasm_functype_new_1_0(own wasm_valtype_t *p1) {
    return wasm_h_functype(1, &p1, 0, NULL);
}

static inline own wasm_functype_t *wasm_functype_new_2_0(own wasm_valtype_t *p1, own wasm_valtype_t *p2) {
    wasm_valtype_t *const params[] = {p1, p2};
    return wasm_h_functype(2, params, 0, NULL);
}

static inline own wasm_functype_t *wasm_functype_new_3_0(own wasm_valtype_t *p1, own wasm_valtype_t *p2,
                                                         own wasm_valtype_t *p3) {
    wasm_valtype_t *const params[] = {p1, p2, p3};
    return wasm_h_functype(3, params, 0, NULL);
}

static inline own wasm_functype_t *wasm_functype_new_0_1(own wasm_valtype_t *r1) {
    return wasm_h_functype(0, NULL, 1, &r1);
}

static inline own wasm_functype_t *wasm_functype_new_1_1(own wasm_valtype_t *p1, own wasm_valtype_t *r1) {
    return wasm_h_functype(1, &p1, 1, &r1);
}

static inline own wasm_functype_t *wasm_functype_new_2_1(own wasm_valtype_t *p1, own wasm_valtype_t *p2,
                                                         own wasm_valtype_t *r1) {
    wasm_valtype_t *const params[] = {p1, p2};
    return wasm_h_functype(2, params, 1, &r1);
}

static inline own wasm_functype_t *wasm_functype_new_3_1(own wasm_valtype_t *p1, own wasm_valtype_t *p2,
                                                         own wasm_valtype_t *p3, own wasm_valtype_t *r1) {
    wasm_valtype_t *const params[] = {p1, p2, p3};
    return wasm_h_functype(3, params, 1, &r1);
}

static inline own wasm_functype_t *wasm_functype_new_0_2(own wasm_valtype_t *r1, own wasm_valtype_t *r2) {
    wasm_valtype_t *const results[] = {r1, r2};
    return wasm_h_functype(0, NULL, 2, results);
}

static inline own wasm_functype_t *wasm_functype_new_1_2(own wasm_valtype_t *p1, own wasm_valtype_t *r1,
                                                         own wasm_valtype_t *r2) {
    wasm_valtype_t *const results[] = {r1, r2};
    return wasm_h_functype(1, &p1, 2, results);
}

static inline own wasm_functype_t *wasm_functype_new_2_2(own wasm_valtype_t *p1, own wasm_valtype_t *p2,
                                                         own wasm_valtype_t *r1, own wasm_valtype_t *r2) {
    wasm_valtype_t *const params[] = {p1, p2};
    wasm_valtype_t *const results[] = {r1, r2};
    return wasm_h_functype(2, params, 2, results);
}

static inline own wasm_functype_t *wasm_functype_new_3_2(own wasm_valtype_t *p1, own wasm_valtype_t *p2,
                                                         own wasm_valtype_t *p3, own wasm_valtype_t *r1,
                                                         own wasm_valtype_t *r2) {
    wasm_valtype_t *const params[] = {p1, p2, p3};
    wasm_valtype_t *const results[] = {r1, r2};
    return wasm_h_functype(3, params, 2, results);
}

/* Pointers of the host as numbers. */
static inline void wasm_val_init_ptr(own wasm_val_t *out, void *pointer) {
    if (sizeof(void *) == sizeof(int32_t)) {
        out->kind = WASM_I32;
        out->of.i32 = (int32_t)(intptr_t)pointer;
    } else {
        out->kind = WASM_I64;
        out->of.i64 = (int64_t)(intptr_t)pointer;
    }
}

static inline void *wasm_val_ptr(const wasm_val_t *value) {
    return (void *)(value->kind == WASM_I32 ? (intptr_t)value->of.i32 : (intptr_t)value->of.i64);
}

/* Initialisers of values, in C. */
#define WASM_I32_VAL(value) {.kind = WASM_I32, .of = {.i32 = value}}
#define WASM_I64_VAL(value) {.kind = WASM_I64, .of = {.i64 = value}}
#define WASM_F32_VAL(value) {.kind = WASM_F32, .of = {.f32 = value}}
#define WASM_F64_VAL(value) {.kind = WASM_F64, .of = {.f64 = value}}
#define WASM_REF_VAL(value) {.kind = WASM_EXTERNREF, .of = {.ref = value}}
#define WASM_INIT_VAL {.kind = WASM_EXTERNREF, .of = {.ref = NULL}}

#undef own
#undef WASM_H_OPAQUE
#undef WASM_H_VECTOR_OF
#undef WASM_H_VECTOR_OF_VALUES
#undef WASM_H_VECTOR_OF_POINTERS
#undef WASM_H_TYPE
#undef WASM_H_ANY_REFERENCE
#undef WASM_H_REFERENCE
#undef WASM_H_CONVERSIONS
#undef WASM_H_CONVERSIONS_BACK

#ifdef __cplusplus
}
#endif

#endif
