/* Compresses and decompresses with libbz2, which runs in a sandbox: whatever a file makes it do, it reaches only its own
   memory.

       ./codec compress < file > file.bz2
       ./codec decompress < file.bz2 > file */

#include "bz2.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in bzlib.h. */
enum { BZ_OK = 0, BZ_OUTBUFF_FULL = -8 };

enum { LEVEL = 9, MAX_MEMORY = 256 << 20, MAX_ROOM = 64 << 20, PIECE = 1 << 16 };

struct bytes {
    uint8_t *data;
    size_t len;
};

/* Says what went wrong in the sandbox. */
static int report(aot_trap *trap)
{
    fprintf(stderr, "codec: %s\n%s", aot_trap_message(trap), aot_trap_backtrace(trap));
    aot_trap_delete(trap);
    return 1;
}

static int fail(const char *message)
{
    fprintf(stderr, "codec: %s\n", message);
    return 1;
}

static bool read_all(FILE *file, struct bytes *bytes)
{
    size_t capacity = 0, count;
    do {
        if (bytes->len + PIECE > capacity) {
            capacity = 2 * capacity + PIECE;
            uint8_t *larger = realloc(bytes->data, capacity);
            if (larger == NULL)
                return false;
            bytes->data = larger;
        }
        count = fread(bytes->data + bytes->len, 1, PIECE, file);
        bytes->len += count;
    } while (count > 0);
    return !ferror(file);
}

/* One attempt with room for some bytes of output. Gives the status of libbz2, and the output if that is BZ_OK. */
static int32_t run(bz2_instance *bz2, bool compress, struct bytes in, uint32_t room, struct bytes *out, aot_trap **trap)
{
    const aot_memory *memory = bz2_memory(bz2);
    /* The input, the output and its length, in memory that the sandbox's own malloc gives. */
    uint32_t source = bz2_malloc(bz2, in.len, trap);
    uint32_t target = *trap ? 0 : bz2_malloc(bz2, room, trap);
    uint32_t target_len = *trap ? 0 : bz2_malloc(bz2, sizeof room, trap);
    int32_t status = BZ_OUTBUFF_FULL;
    if (*trap)
        return status;
    if (source == 0 || target == 0 || target_len == 0)
        return -3; /* BZ_MEM_ERROR */

    /* Where the guest says that its memory is must never be believed: these look. */
    uint32_t len = room;
    if (!aot_memory_write(memory, source, in.data, in.len) || !aot_memory_write(memory, target_len, &len, sizeof len))
        return -3;
    if (compress)
        status = bz2_BZ2_bzBuffToBuffCompress(bz2, target, target_len, source, in.len, LEVEL, 0, 0, trap);
    else
        status = bz2_BZ2_bzBuffToBuffDecompress(bz2, target, target_len, source, in.len, 0, 0, trap);
    if (*trap == NULL && status == BZ_OK) {
        if (!aot_memory_read(memory, target_len, &len, sizeof len) || len > room)
            return -3;
        out->data = malloc(len + 1);
        out->len = len;
        if (out->data == NULL || !aot_memory_read(memory, target, out->data, len))
            return -3;
    }
    for (int i = 0; i < 3 && *trap == NULL; i++)
        bz2_free(bz2, i == 0 ? source : i == 1 ? target : target_len, trap);
    return status;
}

int main(int argc, char **argv)
{
    bool compress = argc == 2 && strcmp(argv[1], "compress") == 0;
    if (!compress && !(argc == 2 && strcmp(argv[1], "decompress") == 0))
        return fail("say `compress` or `decompress`; it copies standard input to standard output");
    struct bytes in = {NULL, 0}, out = {NULL, 0};
    if (!read_all(stdin, &in) || in.len > MAX_MEMORY / 2)
        return fail("cannot read the input, or it is too large");

    aot_trap *trap = NULL;
    aot_options *options = aot_options_new();
    aot_options_max_memory(options, MAX_MEMORY);
    bz2_instance *bz2 = bz2_new(NULL, options, &trap);
    aot_options_delete(options);
    if (bz2 == NULL)
        return report(trap);

    /* What is compressed never needs more than this; how large it was before, nobody knows, and a small file can be the
       beginning of a very large one. */
    uint32_t room = in.len + in.len / 100 + 600;
    int32_t status = run(bz2, compress, in, room, &out, &trap);
    while (trap == NULL && status == BZ_OUTBUFF_FULL && room <= MAX_ROOM / 2) {
        room *= 2;
        status = run(bz2, compress, in, room, &out, &trap);
    }
    bz2_delete(bz2);
    free(in.data);
    if (trap != NULL)
        return report(trap);
    if (status != BZ_OK) {
        fprintf(stderr, "codec: libbz2 says %d\n", (int) status);
        return 1;
    }
    if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
        return fail("cannot write the output");
    free(out.data);
    return 0;
}
