/* What only programs with a libc do: handlers of their own, threads, many instances. Argument: what to try. */
#define _GNU_SOURCE
#include "checks.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const lib_imports imports = {log_in_host, pair, many};
static struct state state;
static sigjmp_buf back;
static volatile int caught;

static void on_segv(int number, siginfo_t *info, void *context)
{
    (void) number, (void) info, (void) context;
    caught++;
    siglongjmp(back, 1);
}

static void on_segv_after(int number, siginfo_t *info, void *context)
{
    if (!aot_handle_fault(number, info, context))
        on_segv(number, info, context);
}

static void handle(void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
}

static void own_fault(void)
{
    if (sigsetjmp(back, 1) == 0)
        *(volatile int *) (uintptr_t) state.calls = 1;
}

static void print(aot_trap *trap)
{
    printf("%s\n", trap == NULL ? "no trap" : aot_trap_message(trap));
    aot_trap_delete(trap);
}

/* A host's own handlers go on working, in either order. */
static void handlers(void)
{
    aot_trap *trap = NULL;
    lib_instance *instance;
    handle(on_segv);
    instance = lib_new(&imports, &state, NULL, &trap);
    for (int round = 1; round <= 3; round++) {
        lib_load(instance, -4, &trap);
        CHECK(trapped(&trap, AOT_TRAP_MEMORY_OUT_OF_BOUNDS, NULL));
        own_fault();
        CHECK(caught == round);
    }
    handle(on_segv_after);
    for (int round = 4; round <= 6; round++) {
        lib_load(instance, -4, &trap);
        CHECK(trapped(&trap, AOT_TRAP_MEMORY_OUT_OF_BOUNDS, NULL));
        own_fault();
        CHECK(caught == round);
    }
    lib_delete(instance);
}

static int32_t call_back(lib_instance *instance, int32_t a, int64_t b)
{
    aot_trap *trap = NULL;
    int32_t result = lib_call_log(instance, a, b, &trap);
    if (trap != NULL) {
        lib_fail(instance, aot_trap_message(trap));
        aot_trap_delete(trap);
    }
    return result;
}

static void *recurse(void *instance)
{
    aot_trap *trap = NULL;
    lib_recurse((lib_instance *) instance, 0, &trap);
    CHECK(trapped(&trap, AOT_TRAP_STACK_OVERFLOW, NULL));
    lib_call_log((lib_instance *) instance, 1, 1, &trap);
    CHECK(trapped(&trap, AOT_ERROR, NULL));
    return NULL;
}

/* Guest and host that call each other for ever end with a trap, on large stacks and on small ones. */
static void stacks(void)
{
    const lib_imports again = {call_back, pair, many};
    aot_trap *trap = NULL;
    lib_instance *instance = lib_new(&again, &state, NULL, &trap);
    recurse(instance);
    for (size_t size = 64 * 1024; size <= 4096 * 1024; size *= 4) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, size);
        pthread_create(&thread, &attributes, recurse, instance);
        pthread_join(thread, NULL);
    }
    lib_delete(instance);
}

static void *work(void *unused)
{
    (void) unused;
    for (int round = 0; round < 200; round++) {
        aot_trap *trap = NULL;
        lib_instance *instance = lib_new(&imports, &state, NULL, &trap);
        CHECK(instance != NULL && lib_add(instance, round, 1, &trap) == round + 1);
        lib_div(instance, 1, 0, &trap);
        CHECK(trapped(&trap, AOT_TRAP_INTEGER_DIVIDE_BY_ZERO, NULL));
        lib_delete(instance);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t all[8];
    for (int at = 0; at < 8; at++)
        pthread_create(&all[at], NULL, work, NULL);
    for (int at = 0; at < 8; at++)
        pthread_join(all[at], NULL);
}

static long resident(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &pages) == 2);
    if (file != NULL)
        fclose(file);
    return pages;
}

/* Many at once, and many in turn in constant memory. */
static void instances(void)
{
    static lib_instance *all[2000];
    aot_trap *trap = NULL;
    long before = 0;
    for (int at = 0; at < 2000; at++) {
        all[at] = lib_new(&imports, &state, NULL, &trap);
        CHECK(all[at] != NULL);
    }
    for (int at = 0; at < 2000; at++) {
        CHECK(lib_add(all[at], at, 1, &trap) == at + 1);
        lib_delete(all[at]);
    }
    for (int round = 0; round < 20000; round++) {
        lib_instance *instance = lib_new(&imports, &state, NULL, &trap);
        CHECK(instance != NULL);
        lib_delete(instance);
        if (round == 1000)
            before = resident();
    }
    CHECK(resident() < before + 64);
}

static void *stop(void *instance)
{
    usleep(30000);
    lib_interrupt((lib_instance *) instance);
    return NULL;
}

/* Built with `-W epoch-interruption`. */
static void interrupts(void)
{
    aot_trap *trap = NULL;
    lib_instance *instance = lib_new(&imports, &state, NULL, &trap);
    for (int round = 0; round < 2; round++) {
        pthread_t thread;
        pthread_create(&thread, NULL, stop, instance);
        lib_spin(instance, &trap);
        pthread_join(thread, NULL);
        CHECK(trapped(&trap, AOT_TRAP_INTERRUPT, "spin\n"));
        CHECK(lib_call_log(instance, 1, 2, &trap) == 3 && trap == NULL);
    }
    lib_delete(instance);
}

static void *add(void *instance)
{
    aot_trap *trap = NULL;
    lib_add((lib_instance *) instance, 1, 2, &trap);
    print(trap);
    return NULL;
}

/* Uses that are wrong, each with an error that says so. Some need AOT_DEBUG. */
static void misuse(void)
{
    const lib_imports none = {NULL, pair, many};
    aot_options *options = aot_options_new();
    aot_trap *trap = NULL;
    lib_instance *instance;
    pthread_t thread;
    CHECK(lib_new(&none, NULL, NULL, &trap) == NULL);
    print(trap);
    trap = NULL;
    CHECK(lib_new(NULL, NULL, NULL, &trap) == NULL);
    print(trap);
    trap = NULL;
    aot_options_max_memory(options, 1000);
    CHECK(lib_new(&imports, NULL, options, &trap) == NULL);
    print(trap);
    trap = NULL;
    aot_options_delete(options);
    /* What a header of another module would pass. */
    CHECK(aot_instance_new(&lib_module, 1, NULL, 0, NULL, NULL, 0, &trap) == NULL);
    print(trap);
    trap = NULL;
#ifdef AOT_DEBUG
    instance = lib_new(&imports, &state, NULL, &trap);
    CHECK(lib_add(instance, 1, 2, &trap) == 3 && trap == NULL);
    pthread_create(&thread, NULL, add, instance);
    pthread_join(thread, NULL);
    lib_disown(instance);
    pthread_create(&thread, NULL, add, instance);
    pthread_join(thread, NULL);
    lib_delete(instance);
    lib_disown(instance);
    add(instance);
    fflush(stdout);
    lib_delete(instance);
#else
    (void) instance, (void) thread, (void) add;
    lib_new(&imports, &state, NULL, &trap);
    fflush(stdout);
    lib_div(lib_new(&imports, &state, NULL, &trap), 1, 0, NULL);
#endif
}

int main(int count, char **args)
{
    const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"library", check_library}, {"handlers", handlers},     {"stacks", stacks}, {"threads", threads},
                 {"instances", instances},   {"interrupts", interrupts}, {"misuse", misuse}};
    for (size_t at = 0; at < sizeof parts / sizeof parts[0]; at++)
        if (count > 1 && strcmp(args[1], parts[at].name) == 0) {
            parts[at].run();
            if (failed_line != 0)
                printf("the check in line %d failed\n", failed_line);
            return failed_line != 0;
        }
    return 2;
}
