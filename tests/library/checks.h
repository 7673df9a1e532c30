/* What is true of the library on every machine, with or without a libc. */
#include "lib.h"

static int failed_line;
#define CHECK(holds) ((holds) || failed_line ? (void) 0 : (void) (failed_line = __LINE__))

struct state {
    int calls;
};

static int32_t log_in_host(lib_instance *instance, int32_t a, int64_t b)
{
    struct state *state = (struct state *) lib_host(instance);
    state->calls++;
    if (a == -1)
        lib_fail(instance, "minus one");
    return a + (int32_t) b;
}

static void pair(lib_instance *instance, double x, const aot_v128 *lanes, int32_t *result0, float *result1)
{
    (void) instance;
    *result0 = (int32_t) x + lanes->bytes[0];
    *result1 = 0.5f + (float) lanes->bytes[15];
}

static double many(lib_instance *instance, int32_t a, int64_t b, float c, double d, int32_t e, int64_t f, float g, double h,
                   int32_t i, int64_t j, float k, double l, int32_t m, int64_t n, float o, double p, int32_t q,
                   int64_t r, float s, double t)
{
    (void) instance;
    return a + 2.0 * (double) b + 3 * c + 4 * d + 5 * e + 6.0 * (double) f + 7 * g + 8 * h + 9 * i + 10.0 * (double) j
           + 11 * k + 12 * l + 13 * m + 14.0 * (double) n + 15 * o + 16 * p + 17 * q + 18.0 * (double) r + 19 * s + 20 * t;
}

/* Whether a call has trapped for this reason, in this function. */
static bool trapped(aot_trap **trap, int code, const char *function)
{
    const char *backtrace;
    bool is_code;
    if (*trap == NULL)
        return false;
    backtrace = aot_trap_backtrace(*trap);
    is_code = aot_trap_code(*trap) == code;
    /* The first line is `  0: function`. */
    for (int at = 0; function != NULL && function[at] != '\0'; at++)
        is_code = is_code && backtrace[5 + at] == function[at];
    aot_trap_delete(*trap);
    *trap = NULL;
    return is_code;
}

static void check_library(void)
{
    struct state state = {0};
    const lib_imports imports = {log_in_host, pair, many};
    aot_trap *trap = NULL;
    lib_instance *instance = lib_new(&imports, &state, NULL, &trap);
    lib_instance *other = lib_new(&imports, &state, NULL, &trap);
    const aot_memory *memory;
    const aot_v128 a = {{1, 2, 3, 4, 5}}, b = {{10, 20, 30, 40, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}};
    aot_v128 sum;
    double number = 0;
    int32_t word = 0;
    char bytes[5] = "";

    CHECK(instance != NULL && other != NULL && trap == NULL);
    if (failed_line)
        return;
    CHECK(lib_add(instance, 40, 2, &trap) == 42);
    CHECK(lib_add(instance, INT32_MIN, -1, &trap) == INT32_MAX);
    CHECK(lib_mix(instance, 1, 2, 3.5f, 4.25, &trap) == 10.75);
    CHECK(lib_call_log(instance, 5, 6, &trap) == 11 && state.calls == 1);
    CHECK(lib_tail_log(instance, 5, -6, &trap) == -1 && lib_call_table(instance, 7, 8, &trap) == 15);
    CHECK(lib_log_again(instance, 1, 2, &trap) == 3 && state.calls == 4);
    lib_swap(instance, 3, 2.5, &number, &word, &trap);
    CHECK(number == 2.5 && word == 3);
    CHECK(lib_pairs(instance, 9.0, &b, &trap) == 9 + 10 + 0.5 + 7);
    CHECK(lib_many(instance, 1, -1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, -5, 5, 5, 5, &trap)
          == many(instance, 1, -1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, -5, 5, 5, 5));
    lib_lanes(instance, &a, &b, &sum, &trap);
    CHECK(sum.bytes[0] == 11 && sum.bytes[4] == 55 && sum.bytes[15] == 7);
    CHECK(lib_reference(instance, &state, &trap) == &state && lib_reference(instance, NULL, &trap) == NULL);
    CHECK(trap == NULL);

    CHECK(lib_get_count(instance) == 7 && lib_get_limit(instance) == -99 && lib_get_ratio(instance) == 0.5);
    lib_set_count(instance, 11);
    lib_set_ratio(instance, -2.0);
    CHECK(lib_get_count(instance) == 11 && lib_get_ratio(instance) == -2.0 && lib_get_count(other) == 7);

    memory = lib_memory(instance);
    CHECK(memory->size == 65536 && aot_memory_read(memory, 16, bytes, 5) && bytes[0] == 'h' && bytes[4] == 'o');
    CHECK(aot_memory_write(memory, 100, "abcd", 4) && lib_load(instance, 100, &trap) == 0x64636261);
    CHECK(lib_load(other, 100, &trap) == 0 && lib_memory(other)->data != memory->data);
    CHECK(aot_memory_read(memory, 65532, bytes, 4) && !aot_memory_read(memory, 65533, bytes, 4));
    CHECK(!aot_memory_write(memory, UINT64_MAX, bytes, 2) && aot_memory_at(memory, 65536, 0) != NULL);
    CHECK(aot_memory_at(memory, 65536, 1) == NULL && aot_memory_at(memory, UINT64_MAX, 2) == NULL);
    CHECK(lib_grow_memory(instance, memory, 3) && memory->size == 4 * 65536);
    CHECK(!lib_grow_memory(instance, memory, 1) && !lib_grow_memory(instance, lib_memory(other), UINT64_MAX));

    CHECK(lib_div(instance, 1, 0, &trap) == 0 && trapped(&trap, AOT_TRAP_INTEGER_DIVIDE_BY_ZERO, "div\n"));
    CHECK(lib_div(instance, INT32_MIN, -1, &trap) == 0 && trapped(&trap, AOT_TRAP_INTEGER_OVERFLOW, "div\n"));
    lib_load(instance, -4, &trap);
    CHECK(trapped(&trap, AOT_TRAP_MEMORY_OUT_OF_BOUNDS, "inner\n  1: load\n"));
    lib_call_log(instance, -1, 0, &trap);
    CHECK(trapped(&trap, AOT_ERROR, "call_log\n"));
    lib_tail_log(instance, -1, 0, &trap);
    CHECK(trapped(&trap, AOT_ERROR, NULL));
    lib_call_table(instance, -1, 0, &trap);
    CHECK(trapped(&trap, AOT_ERROR, NULL));
    lib_recurse(instance, 0, &trap);
    CHECK(trapped(&trap, AOT_TRAP_STACK_OVERFLOW, "recurse\n  1: recurse\n"));
    CHECK(lib_call_log(instance, 1, 2, &trap) == 3 && trap == NULL);
    lib_delete(other);
    CHECK(lib_add(instance, 1, 2, &trap) == 3);
    lib_delete(instance);
    lib_delete(NULL);
}
