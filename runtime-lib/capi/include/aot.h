/* What libaot has beyond the standard interface of wasm.h: images, linkers, limits, WASI, errors as text.
 *
 * docs/c-api.md is the guide. As in wasm.h, `own` marks what changes hands. Functions that can fail say so by NULL or
 * false; aot_last_error() then has the reason.
 */
#ifndef AOT_H
#define AOT_H

#include "wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define own

/* ---- The library ---- */

/* Its version, as text. */
WASM_API_EXTERN const char *aot_version(void);

/* Whether it can compile: wasm_module_new, wasm_module_validate and aot_wat2wasm fail without. */
WASM_API_EXTERN bool aot_has_compiler(void);

/* In debug mode deleted objects stay in memory, so that every use after deletion is found; it ends the process with a
 * message. AOT_DEBUG=1 in the environment does the same. */
WASM_API_EXTERN void aot_set_debug(bool on);

/* ---- Errors ---- */

typedef enum aot_error_kind_t {
    AOT_ERROR_NONE,
    AOT_ERROR_USAGE,   /* arguments, types or handles that do not fit */
    AOT_ERROR_LOAD,    /* an image that this library or machine cannot run, or that is damaged */
    AOT_ERROR_COMPILE, /* an invalid or unsupported module */
    AOT_ERROR_IMPORT,  /* an import that is missing or of another type */
    AOT_ERROR_MEMORY,  /* not enough memory, or a limit is below what is asked for */
    AOT_ERROR_LIMIT,   /* the store may have no more of these */
    AOT_ERROR_TRAP,    /* the guest trapped */
    AOT_ERROR_HOST,    /* a callback returned a trap */
    AOT_ERROR_EXIT,    /* the guest ended itself */
    AOT_ERROR_BUSY,    /* another thread uses the store */
    AOT_ERROR_SYSTEM   /* the operating system refused something */
} aot_error_kind_t;

/* Why the last function of this thread that failed has failed. The text is good until the next one fails; it is empty if
 * none has. Functions that succeed leave it alone. */
WASM_API_EXTERN const char *aot_last_error(void);
WASM_API_EXTERN aot_error_kind_t aot_last_error_kind(void);
WASM_API_EXTERN void aot_clear_error(void);

/* ---- Options of an engine ---- */

/* Bytes of stack that a guest may use; 512 KiB by default. Threads that call guests need some more. */
WASM_API_EXTERN void aot_config_set_max_wasm_stack(wasm_config_t *, size_t bytes);

/* How many memories' address space (6 GiB each, no memory) is kept when stores are deleted; 64 by default. */
WASM_API_EXTERN void aot_config_set_pooled_memories(wasm_config_t *, size_t count);

/* Debuggers are told of the modules that are instantiated: breakpoints in the source of the guest, backtraces through it
 * and, in images that were built with `-g` and in modules that wasm_module_new compiles, variables. Off by default. */
WASM_API_EXTERN void aot_config_set_debugger(wasm_config_t *, bool);

/* How profilers get to know the functions of the modules that are instantiated: by /tmp/perf-PID.map for `perf report`, or,
 * with code and lines of the source, by jit-PID.dump in the current directory for `perf inject --jit`. */
typedef enum aot_profiling_t { AOT_PROFILING_NONE, AOT_PROFILING_PERF_MAP, AOT_PROFILING_JIT_DUMP } aot_profiling_t;
WASM_API_EXTERN void aot_config_set_profiling(wasm_config_t *, aot_profiling_t);

/* For modules that wasm_module_new compiles. Loops can be interrupted: off by default. */
WASM_API_EXTERN void aot_config_set_interruptible(wasm_config_t *, bool);
/* Instructions are counted (aot_store_set_fuel): off by default. */
WASM_API_EXTERN void aot_config_set_fuel(wasm_config_t *, bool);
/* Code is made fast, not quickly: on by default. */
WASM_API_EXTERN void aot_config_set_optimise(wasm_config_t *, bool);
/* Code is for this machine's CPU. Off: for the oldest of its kind, as images that are to be kept should be. On by
 * default. */
WASM_API_EXTERN void aot_config_set_native_cpu(wasm_config_t *, bool);

/* ---- Modules ---- */

/* Images (`aot build --emit cwasm`, wasm_module_serialize). Their code will be executed: whoever made an image is trusted
 * like the author of this program. The file is mapped, not copied, and must not be written while the module exists;
 * replacing it by another one is harmless. */
WASM_API_EXTERN own wasm_module_t *aot_module_load_file(const char *path);
WASM_API_EXTERN own wasm_module_t *aot_module_load(const void *image, size_t size);

/* Whether its loops can be interrupted, and whether it counts fuel. */
WASM_API_EXTERN bool aot_module_is_interruptible(const wasm_module_t *);
WASM_API_EXTERN bool aot_module_counts_fuel(const wasm_module_t *);

/* The binary format of a module in the text format. */
WASM_API_EXTERN bool aot_wat2wasm(const char *text, size_t size, own wasm_byte_vec_t *out);

/* ---- Values ---- */

/* The kind of vectors of 128 bits, for types. wasm_val_t has no room for such values: use raw ones. */
enum { AOT_V128 = 4 };

/* A value whose type is known from elsewhere. */
typedef union aot_raw_t {
    int32_t i32;
    int64_t i64;
    float32_t f32;
    float64_t f64;
    uint8_t v128[16];
    wasm_ref_t *ref;
} aot_raw_t;

/* Calls a function with its arguments in `values`, which gets the results; `count` is the larger number of both. References
 * among the arguments stay the caller's, those among the results are its own. */
WASM_API_EXTERN own wasm_trap_t *aot_func_call_raw(const wasm_func_t *, aot_raw_t *values, size_t count);

/* As wasm_global_set, which cannot say that it failed. */
WASM_API_EXTERN bool aot_global_set(wasm_global_t *, const wasm_val_t *);

/* ---- Callbacks that know who calls ---- */

/* The calling guest, as long as the callback runs. */
typedef struct aot_caller_t aot_caller_t;

typedef own wasm_trap_t *(*aot_callback_t)(void *env, const aot_caller_t *caller, const wasm_val_vec_t *args,
                                           own wasm_val_vec_t *results);
/* `values` has the arguments, and gets the results. References among the arguments are borrowed. */
typedef own wasm_trap_t *(*aot_raw_callback_t)(void *env, const aot_caller_t *caller, aot_raw_t *values);

/* The store of the caller; it is borrowed. */
WASM_API_EXTERN wasm_store_t *aot_caller_store(const aot_caller_t *);
/* What the calling instance exports. */
WASM_API_EXTERN own wasm_extern_t *aot_caller_export(const aot_caller_t *, const char *name);

/* The memory that the calling instance exports as `memory`: all of it, or a part, or copies. NULL or false if it is not
 * all there. Pointers are good until the guest runs again. */
WASM_API_EXTERN void *aot_caller_memory(const aot_caller_t *, size_t *size);
WASM_API_EXTERN void *aot_caller_range(const aot_caller_t *, uint64_t offset, size_t size);
WASM_API_EXTERN bool aot_caller_read(const aot_caller_t *, uint64_t offset, void *out, size_t size);
WASM_API_EXTERN bool aot_caller_write(const aot_caller_t *, uint64_t offset, const void *bytes, size_t size);

/* Functions of a store. `finalizer` is called for `env` when nothing can call the function any more. */
WASM_API_EXTERN own wasm_func_t *aot_func_new(wasm_store_t *, const wasm_functype_t *, aot_callback_t, void *env,
                                              void (*finalizer)(void *));
WASM_API_EXTERN own wasm_func_t *aot_func_new_raw(wasm_store_t *, const wasm_functype_t *, aot_raw_callback_t,
                                                  void *env, void (*finalizer)(void *));

/* ---- Memory ---- */

/* A part of a memory, or copies; NULL or false if it is not all there. A pointer stays good when the memory grows. */
WASM_API_EXTERN void *aot_wasm_memory_range(wasm_memory_t *, uint64_t offset, size_t size);
WASM_API_EXTERN bool aot_wasm_memory_read(const wasm_memory_t *, uint64_t offset, void *out, size_t size);
WASM_API_EXTERN bool aot_wasm_memory_write(wasm_memory_t *, uint64_t offset, const void *bytes, size_t size);

/* ---- Traps ---- */

typedef uint8_t aot_code_t;
enum aot_code_enum {
    AOT_CODE_NONE, /* no trap of the guest: aot_wasm_trap_kind says what it is */
    AOT_CODE_UNREACHABLE,
    AOT_CODE_MEMORY_OUT_OF_BOUNDS,
    AOT_CODE_TABLE_OUT_OF_BOUNDS,
    AOT_CODE_UNDEFINED_ELEMENT,
    AOT_CODE_UNINITIALIZED_ELEMENT,
    AOT_CODE_INDIRECT_CALL_TYPE_MISMATCH,
    AOT_CODE_INTEGER_OVERFLOW,
    AOT_CODE_INTEGER_DIVIDE_BY_ZERO,
    AOT_CODE_INVALID_CONVERSION_TO_INTEGER,
    AOT_CODE_STACK_OVERFLOW,
    AOT_CODE_NULL_REFERENCE,
    AOT_CODE_UNKNOWN_IMPORT,
    AOT_CODE_HOST_FUNCTION,
    AOT_CODE_INTERRUPT,
    AOT_CODE_OUT_OF_FUEL
};

/* A trap for a callback to return. */
WASM_API_EXTERN own wasm_trap_t *aot_wasm_trap_new(const char *message);
WASM_API_EXTERN aot_code_t aot_wasm_trap_code(const wasm_trap_t *);
WASM_API_EXTERN aot_error_kind_t aot_wasm_trap_kind(const wasm_trap_t *);
/* Whether the guest ended itself (WASI's proc_exit), and with what; `status` may be NULL. */
WASM_API_EXTERN bool aot_wasm_trap_exit_status(const wasm_trap_t *, uint32_t *status);
/* The function's name, or NULL. It is good as long as the frame. */
WASM_API_EXTERN const char *aot_frame_func_name(const wasm_frame_t *);
/* The functions on the stack with their places in the source, lines of text; a zero is the last byte. */
WASM_API_EXTERN void aot_wasm_trap_backtrace(const wasm_trap_t *, own wasm_byte_vec_t *out);
/* Where in the source a frame is, if the module said so when it was compiled: the function itself comes last, before it
 * those that its compiler had inlined there, the innermost first. Texts are good as long as the frame, and NULL if they
 * are not known; numbers are 0 then. */
WASM_API_EXTERN size_t aot_frame_symbol_count(const wasm_frame_t *);
WASM_API_EXTERN const char *aot_frame_symbol_name(const wasm_frame_t *, size_t index);
WASM_API_EXTERN const char *aot_frame_symbol_file(const wasm_frame_t *, size_t index);
WASM_API_EXTERN uint32_t aot_frame_symbol_line(const wasm_frame_t *, size_t index);
WASM_API_EXTERN uint32_t aot_frame_symbol_column(const wasm_frame_t *, size_t index);

/* ---- Stores ---- */

/* A pointer of the host's. */
WASM_API_EXTERN void aot_store_set_data(wasm_store_t *, void *);
WASM_API_EXTERN void *aot_store_data(const wasm_store_t *);

#define AOT_NO_LIMIT UINT64_MAX
typedef struct aot_limits_t {
    uint64_t memory_bytes;   /* of one memory */
    uint64_t table_elements; /* of one table */
    uint64_t instances;
    uint64_t memories;
    uint64_t tables;
} aot_limits_t;
#define AOT_NO_LIMITS {AOT_NO_LIMIT, AOT_NO_LIMIT, AOT_NO_LIMIT, AOT_NO_LIMIT, AOT_NO_LIMIT}

/* For what is made from now on. */
WASM_API_EXTERN bool aot_store_set_limits(wasm_store_t *, const aot_limits_t *);

/* What is left for modules that count fuel; without any they trap at once. */
WASM_API_EXTERN bool aot_store_set_fuel(wasm_store_t *, uint64_t fuel);
WASM_API_EXTERN uint64_t aot_store_fuel(const wasm_store_t *);

/* A guest is interrupted when the engine's clock has ticked that often. The clock is the host's: a thread that calls
 * aot_engine_tick every 10 ms gives deadlines in steps of 10 ms. A deadline that has passed is gone. */
WASM_API_EXTERN bool aot_store_set_deadline(wasm_store_t *, uint64_t ticks);
WASM_API_EXTERN bool aot_store_clear_deadline(wasm_store_t *);
WASM_API_EXTERN void aot_engine_tick(const wasm_engine_t *);

/* What stops a store's guest from any thread: now if it runs, else when it is called next. */
typedef struct aot_interrupt_t aot_interrupt_t;
WASM_API_EXTERN own aot_interrupt_t *aot_store_interrupt(const wasm_store_t *);
WASM_API_EXTERN void aot_interrupt_now(const aot_interrupt_t *);
WASM_API_EXTERN void aot_interrupt_delete(own aot_interrupt_t *);

/* ---- Instances by name ---- */

WASM_API_EXTERN own wasm_extern_t *aot_instance_export(const wasm_instance_t *, const char *name);
WASM_API_EXTERN own wasm_trap_t *aot_instance_call(const wasm_instance_t *, const char *name,
                                                   const wasm_val_vec_t *args, wasm_val_vec_t *results);

/* ---- Linkers ---- */

/* Names of what modules import; good for any number of modules and stores. A linker is changed by one thread at a time. */
typedef struct aot_linker_t aot_linker_t;
WASM_API_EXTERN own aot_linker_t *aot_linker_new(void);
WASM_API_EXTERN own aot_linker_t *aot_linker_copy(const aot_linker_t *);
WASM_API_EXTERN void aot_linker_delete(own aot_linker_t *);

/* Whether a name may be defined again; the last definition counts then. */
WASM_API_EXTERN void aot_linker_allow_shadowing(aot_linker_t *, bool allow);

/* Callbacks, for any store. `env` is taken over also if this fails. */
WASM_API_EXTERN bool aot_linker_define_func(aot_linker_t *, const char *module, const char *name,
                                            const wasm_functype_t *, aot_callback_t, void *env,
                                            void (*finalizer)(void *));
WASM_API_EXTERN bool aot_linker_define_raw(aot_linker_t *, const char *module, const char *name,
                                           const wasm_functype_t *, aot_raw_callback_t, void *env,
                                           void (*finalizer)(void *));
/* Something of a store, and all exports of an instance: for modules that are instantiated in the same store. */
WASM_API_EXTERN bool aot_linker_define(aot_linker_t *, const char *module, const char *name,
                                       const wasm_extern_t *);
WASM_API_EXTERN bool aot_linker_define_instance(aot_linker_t *, const char *module, const wasm_instance_t *);
/* WASI preview 1. Guests see what aot_store_set_wasi gave their store, and nothing without. */
WASM_API_EXTERN bool aot_linker_define_wasi(aot_linker_t *);
/* Functions that a module imports and nothing defines yet trap when they are called. */
WASM_API_EXTERN bool aot_linker_define_unknown_imports_as_traps(aot_linker_t *, const wasm_module_t *);

/* What a name stands for in a store; and an instance with all imports found. `trap` may be NULL. */
WASM_API_EXTERN own wasm_extern_t *aot_linker_get(const aot_linker_t *, wasm_store_t *, const char *module,
                                                  const char *name);
WASM_API_EXTERN own wasm_instance_t *aot_linker_instantiate(const aot_linker_t *, wasm_store_t *,
                                                            const wasm_module_t *, own wasm_trap_t **trap);

/* ---- WASI ---- */

/* What guests see of the world. At first: no arguments, no environment, no directories, and streams with nothing in
 * them. The numbers of streams are 0, 1 and 2. */
typedef struct aot_wasi_t aot_wasi_t;
WASM_API_EXTERN own aot_wasi_t *aot_wasi_new(void);
WASM_API_EXTERN void aot_wasi_delete(own aot_wasi_t *);

/* The first argument is the name of the program. */
WASM_API_EXTERN void aot_wasi_arg(aot_wasi_t *, const char *arg);
WASM_API_EXTERN void aot_wasi_env(aot_wasi_t *, const char *name, const char *value);
WASM_API_EXTERN void aot_wasi_inherit_env(aot_wasi_t *);
/* A directory of the host, under a name for the guest; paths never lead out of it. */
WASM_API_EXTERN void aot_wasi_preopen(aot_wasi_t *, const char *host, const char *guest);

/* A stream of the process; all three. */
WASM_API_EXTERN bool aot_wasi_inherit(aot_wasi_t *, int stream);
WASM_API_EXTERN void aot_wasi_inherit_stdio(aot_wasi_t *);
/* A file, which is read as stream 0, else made anew. An open file descriptor, which is copied. */
WASM_API_EXTERN bool aot_wasi_file(aot_wasi_t *, int stream, const char *path);
WASM_API_EXTERN bool aot_wasi_fd(aot_wasi_t *, int stream, int fd);
/* Bytes to read as stream 0, which are copied. What is written to stream 1 or 2, kept for aot_store_output; writing fails
 * when there are so many bytes. */
WASM_API_EXTERN void aot_wasi_input(aot_wasi_t *, const void *bytes, size_t size);
WASM_API_EXTERN bool aot_wasi_capture(aot_wasi_t *, int stream, uint64_t capacity);

/* For the guests of a store. It fails if a directory or stream cannot be opened. */
WASM_API_EXTERN bool aot_store_set_wasi(wasm_store_t *, own aot_wasi_t *);
/* What was written so far to a stream that is captured. */
WASM_API_EXTERN bool aot_store_output(wasm_store_t *, int stream, own wasm_byte_vec_t *out);

#undef own

#ifdef __cplusplus
}
#endif

#endif
