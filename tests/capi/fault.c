/* A host with a handler of its own for faults: it goes on working with the library loaded, and the library with it. */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf back;
static volatile sig_atomic_t with_info, without_info;
static void *mapped;

/* Makes the page accessible that was missing, or leaves. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    ++with_info;
    if (number == SIGSEGV && info->si_addr == mapped) {
        mprotect(mapped, 4096, PROT_READ | PROT_WRITE);
        return;
    }
    siglongjmp(back, 1);
}

static void on_plain_fault(int number) {
    (void)number;
    ++without_info;
    siglongjmp(back, 1);
}

/* Faults of the host, which its handler gets; then one of a guest, which it does not. */
static void fault_and_trap(wasm_instance_t *instance) {
    wasm_val_vec_t none = WASM_EMPTY_VEC;
    for (int round = 0; round < 3; ++round) {
        volatile int before = with_info;
        mprotect(mapped, 4096, PROT_NONE);
        *(volatile char *)mapped = 1;
        CHECK(with_info == before + 1);
        if (sigsetjmp(back, 1) == 0) {
            *(volatile char *)8 = 1;
            CHECK(!"there is a fault");
        }
        CHECK(with_info == before + 2);
        before = without_info;
        if (sigsetjmp(back, 1) == 0) {
            raise(SIGFPE);
            CHECK(!"there is a signal");
        }
        CHECK(without_info == before + 1);

        before = with_info;
        wasm_trap_t *trap = aot_instance_call(instance, "load", &none, &none);
        CHECK(trap != NULL && aot_wasm_trap_code(trap) == AOT_CODE_MEMORY_OUT_OF_BOUNDS);
        wasm_trap_delete(trap);
        trap = aot_instance_call(instance, "unreachable", &none, &none);
        CHECK(trap != NULL && aot_wasm_trap_code(trap) == AOT_CODE_UNREACHABLE);
        wasm_trap_delete(trap);
        CHECK(with_info == before);
    }
}

static struct sigaction library;

/* A handler that was set later, and passes on what is not its own. */
static void on_later_fault(int number, siginfo_t *info, void *context) {
    if (info->si_addr == (void *)16) {
        siglongjmp(back, 1);
    }
    library.sa_sigaction(number, info, context);
}

int main(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    action.sa_handler = on_plain_fault;
    action.sa_flags = SA_NODEFER;
    CHECK(sigaction(SIGFPE, &action, NULL) == 0);
    mapped = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED);

    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *store = wasm_store_new(engine);
    wasm_instance_t *instance =
        instantiate(store, "(module (memory 1) (func (export \"load\") (drop (i32.load (i32.const 65536))))"
                           "  (func (export \"unreachable\") (unreachable)))");
    fault_and_trap(instance);

    action.sa_sigaction = on_later_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGSEGV, &action, &library) == 0);
    if (sigsetjmp(back, 1) == 0) {
        *(volatile char *)16 = 1;
        CHECK(!"there is a fault");
    }
    fault_and_trap(instance);

    wasm_instance_delete(instance);
    wasm_store_delete(store);
    wasm_engine_delete(engine);
    printf("%d faults of the host\n", with_info);
    fflush(stdout);
    /* Without a handler that goes on, the process dies of the fault as ever. */
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)8 = 1;
    return 0;
}
