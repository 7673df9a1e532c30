/* A guest that uses WASI. It prints to the standard output that it is given; the rest is checked here. */
#include "guest.h"
#include <string.h>

static int failures;

static void check(bool holds)
{
    failures += !holds;
}

int main(void)
{
    aot_options *options = aot_options_new();
    aot_trap *trap = NULL;
    guest_instance *instance, *bare;
    const aot_memory *memory;
    uint32_t status = 0;
    aot_options_arg(options, "program");
    aot_options_arg(options, "argument");
    aot_options_env(options, "NAME=value");
    aot_options_dir(options, ".", "/");
    aot_options_stream(options, 1, 1);
    instance = guest_new(NULL, options, &trap);
    bare = guest_new(NULL, NULL, &trap);
    aot_options_delete(options);
    if (instance == NULL || bare == NULL)
        return 1;
    check(guest_ready(instance, &trap) == 1);
    check(guest_print(instance, &trap) == 0 && guest_print(bare, &trap) == 0);
    memory = guest_memory(instance);
    check(strcmp((char *) aot_memory_at(memory, (uint32_t) guest_args(instance, &trap), 9), "argument") == 0);
    check(memcmp(memory->data + 2048, "NAME=value", 11) == 0);
    /* 8 is EBADF: without the option there is no directory. */
    check(guest_open(instance, &trap) == 0 && guest_open(bare, &trap) == 8);
    check(trap == NULL);
    guest_exit(instance, 42, &trap);
    check(trap != NULL && aot_trap_code(trap) == AOT_EXIT && aot_trap_exit_status(trap, &status) && status == 42);
    aot_trap_delete(trap);
    trap = NULL;
    check(guest_ready(instance, &trap) == 1 && trap == NULL);
    guest_delete(instance);
    guest_delete(bare);

    options = aot_options_new();
    aot_options_dir(options, "/no/such/directory", "/");
    check(guest_new(NULL, options, &trap) == NULL && strstr(aot_trap_message(trap), "/no/such/directory") != NULL);
    aot_trap_delete(trap);
    aot_options_delete(options);
    return failures;
}
