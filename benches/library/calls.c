/* What calls between C and a module that is a library cost, beside a C function that is called through a pointer.
   Prints a line for each measurement: name, engine, nanoseconds, separated by tabs. Argument: the number of rounds. */
#define _POSIX_C_SOURCE 200809L
#include "guest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS = 4000000 };

static int32_t add(guest_instance *instance, int32_t a, int32_t b)
{
    (void) instance;
    return (int32_t) ((uint32_t) a + (uint32_t) b);
}

static int32_t native(void *instance, int32_t a, int32_t b, aot_trap **trap)
{
    (void) instance, (void) trap;
    return (int32_t) ((uint32_t) a + (uint32_t) b);
}

static int32_t native_load(void *memory, int32_t address, aot_trap **trap)
{
    int32_t value;
    (void) trap;
    memcpy(&value, (char *) memory + (uint32_t) address, sizeof value);
    return value;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec * 1e9 + (double) time.tv_nsec;
}

static volatile int32_t sink;

int main(int count, char **args)
{
    const guest_imports imports = {add};
    int32_t (*volatile function)(void *, int32_t, int32_t, aot_trap **) = native;
    int32_t (*volatile load)(void *, int32_t, aot_trap **) = native_load;
    static char memory[65536];
    aot_trap *trap = NULL;
    guest_instance *instance = guest_new(&imports, NULL, NULL, &trap);
    int rounds = count > 1 ? atoi(args[1]) : 1;
    if (instance == NULL) {
        fprintf(stderr, "%s\n", aot_trap_message(trap));
        return 1;
    }
    for (int round = 0; round < rounds; round++) {
        double start, times[5];
        int32_t sum = 0;
        start = now();
        for (int32_t number = 0; number < CALLS; number++)
            sum = function(instance, sum, number, &trap);
        sink = sum;
        times[0] = (now() - start) / CALLS;
        sum = 0;
        start = now();
        for (int32_t number = 0; number < CALLS; number++) {
            sum = guest_add(instance, sum, number, &trap);
            if (trap != NULL)
                return 1;
        }
        sink = sum;
        times[1] = (now() - start) / CALLS;
        start = now();
        sink = guest_loop(instance, CALLS, &trap);
        times[2] = (now() - start) / CALLS;
        sum = 0;
        start = now();
        for (int32_t number = 0; number < CALLS; number++) {
            sum = guest_load(instance, sum, &trap);
            if (trap != NULL)
                return 1;
        }
        sink = sum;
        times[3] = (now() - start) / CALLS;
        start = now();
        for (int32_t number = 0; number < CALLS; number++)
            sum = load(memory, sum, &trap);
        sink = sum;
        times[4] = (now() - start) / CALLS;
        printf("C program → library, may trap\tnative\t%f\nC program → library, may trap\taot\t%f\n", times[4], times[3]);
        printf("C program → library\tnative\t%f\nC program → library\taot\t%f\n", times[0], times[1]);
        printf("library → C program\tnative\t%f\nlibrary → C program\taot\t%f\n", times[0], times[2]);
    }
    guest_delete(instance);
    return 0;
}
