#ifndef AOT_LIBRARY_H
#define AOT_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aot_module aot_module;
typedef struct aot_instance aot_instance;
typedef struct aot_trap aot_trap;
typedef struct aot_options aot_options;

/* A reference to a function of an instance. */
typedef struct aot_func aot_func;

typedef struct aot_v128 {
    uint8_t bytes[16];
} aot_v128;

/* A linear memory. Both change when it grows: read them again after each call of the guest. */
typedef struct aot_memory {
    uint8_t *data;
    size_t size;
} aot_memory;

/* Define AOT_DEBUG before the header is included, and instances made there look for uses by a second thread and after
   their end. They are never freed then. */
#ifdef AOT_DEBUG
#define AOT_FLAGS 1
#else
#define AOT_FLAGS 0
#endif

/* Traps. The one who gets a trap deletes it. */
enum {
@TRAPS@
    AOT_EXIT = -1, /* the guest ended itself */
    AOT_ERROR = -2 /* a function of the program failed, or the library is used in a wrong way */
};
int aot_trap_code(const aot_trap *trap);
/* The reason in one line. The text lives as long as the trap. */
const char *aot_trap_message(const aot_trap *trap);
/* The functions of the guest on the stack, the innermost first, a line for each; may be empty. */
const char *aot_trap_backtrace(const aot_trap *trap);
/* Whether the guest ended itself (`proc_exit`), and with what status. */
bool aot_trap_exit_status(const aot_trap *trap, uint32_t *status);
void aot_trap_delete(aot_trap *trap);

/* Options of instances. Without any, a guest has 512 KiB of stack, and sees no file, argument or variable. */
aot_options *aot_options_new(void);
void aot_options_delete(aot_options *options);
/* The most bytes that each memory, and elements that each table may have. */
void aot_options_max_memory(aot_options *options, uint64_t bytes);
void aot_options_max_table(aot_options *options, uint64_t elements);
/* Bytes of the caller's stack that the guest may use. */
void aot_options_max_stack(aot_options *options, size_t bytes);
/* What WASI shows to the guest: arguments, of which the first is a name; variables, `NAME=VALUE`; directories; open files
   as standard streams 0 to 2. Directories are opened, and files duplicated, when an instance is made. */
void aot_options_arg(aot_options *options, const char *text);
void aot_options_env(aot_options *options, const char *variable);
void aot_options_dir(aot_options *options, const char *host, const char *guest);
void aot_options_stream(aot_options *options, int number, int file);
void aot_options_inherit_stdio(aot_options *options);

/* For programs that handle SIGSEGV, SIGBUS, SIGILL or SIGFPE, and install their handler after the first instance was made:
   it has to ask first, with its own arguments, and return at once if this returns true. Handlers that were there before
   are called by ours. */
bool aot_handle_fault(int number, void *info, void *context);

/* Used by what follows. */
aot_instance *aot_instance_new(const aot_module *module, uint64_t interface_number, const void *const *imports,
                               size_t count, void *host, const aot_options *options, uint32_t flags, aot_trap **trap);
void aot_instance_delete(aot_instance *instance);
void *aot_instance_host(const aot_instance *instance);
void aot_instance_fail(aot_instance *instance, const char *message);
void aot_instance_interrupt(aot_instance *instance);
void aot_instance_disown(aot_instance *instance);
bool aot_instance_grow_memory(aot_instance *instance, const aot_memory *memory, uint64_t pages);

/* The bytes from an offset on, or NULL if they are not all in the memory. */
static inline void *aot_memory_at(const aot_memory *memory, uint64_t offset, uint64_t len)
{
    return offset <= memory->size && len <= memory->size - offset ? memory->data + offset : NULL;
}

/* Copies from or to a memory. False, and nothing is copied, if not all of the bytes are in it. */
bool aot_memory_read(const aot_memory *memory, uint64_t offset, void *to, size_t len);
bool aot_memory_write(const aot_memory *memory, uint64_t offset, const void *from, size_t len);

#ifdef __cplusplus
}
#endif
#endif /* AOT_LIBRARY_H */
