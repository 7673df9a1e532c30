/* What the pieces of code in docs/c-api.md are about: the test puts this in front of each. */
#include "aot.h"

#include <stdio.h>
#include <stdlib.h>

#define GUIDE_PARAMETERS                                                                                     \
    wasm_engine_t *engine, wasm_config_t *config, wasm_store_t *store, wasm_module_t *module,                \
        wasm_instance_t *instance, wasm_memory_t *memory, wasm_func_t *func, aot_linker_t *linker,           \
        const aot_caller_t *caller, wasm_trap_t *trap, uint64_t offset, int argc, char **argv
