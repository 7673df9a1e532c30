// A plugin for QEMU that counts the instructions which an emulated program executes, in all of its threads. When the
// program ends, it writes the number to QEMU's log.
//
// Debian has no `qemu-plugin.h`, so what is used of it is declared here: its API of version 1.

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef uint64_t plugin_id;
struct block;
struct info;
enum operation { ADD_U64 };
enum registers { NO_REGISTERS };

void qemu_plugin_register_vcpu_init_cb(plugin_id, void (*)(plugin_id, unsigned));
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, enum operation, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, void (*)(unsigned, void *), enum registers, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct block *);
void qemu_plugin_outs(const char *);

int qemu_plugin_version = 1;

static uint64_t instructions;
static uint64_t threads;

static void thread_starts(plugin_id id, unsigned index) {
    (void)id, (void)index;
    __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED);
}

static void block_is_executed(unsigned index, void *length) {
    (void)index;
    __atomic_fetch_add(&instructions, (uintptr_t)length, __ATOMIC_RELAXED);
}

// To add in the translated code itself is three times as fast as a call, but threads would lose counts of each other.
// When the first thread is added, QEMU drops all translated code, and calls this again for what is executed next.
static void block_is_translated(plugin_id id, struct block *block) {
    (void)id;
    size_t length = qemu_plugin_tb_n_insns(block);
    if (__atomic_load_n(&threads, __ATOMIC_RELAXED) > 1) {
        qemu_plugin_register_vcpu_tb_exec_cb(block, block_is_executed, NO_REGISTERS, (void *)(uintptr_t)length);
    } else {
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &instructions, length);
    }
}

static void program_ends(plugin_id id, void *data) {
    (void)id, (void)data;
    char line[64];
    snprintf(line, sizeof line, "%" PRIu64 "\n", instructions);
    qemu_plugin_outs(line);
}

int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_init_cb(id, thread_starts);
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_is_translated);
    qemu_plugin_register_atexit_cb(id, program_ends, NULL);
    return 0;
}
