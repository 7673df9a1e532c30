// A small command around the zstd library, in streaming mode:
//   zstd compress LEVEL IN OUT     prints whether the result is smaller
//   zstd decompress IN             writes to standard output
//   zstd levels IN                 compresses at several levels

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static void fail(const char *what) {
  fprintf(stderr, "zstd: %s\n", what);
  exit(1);
}

static size_t check(size_t code) {
  if (ZSTD_isError(code)) fail(ZSTD_getErrorName(code));
  return code;
}

static FILE *open_file(const char *path, const char *mode) {
  FILE *file = fopen(path, mode);
  if (!file) fail(path);
  return file;
}

static void compress_file(int level, const char *from, const char *to) {
  FILE *in = open_file(from, "rb"), *out = open_file(to, "wb");
  ZSTD_CCtx *context = ZSTD_createCCtx();
  check(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level));
  check(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1));
  static char in_buffer[4096], out_buffer[4096];
  size_t in_total = 0, out_total = 0, length;
  int is_last;
  do {
    length = fread(in_buffer, 1, sizeof in_buffer, in);
    in_total += length;
    is_last = length < sizeof in_buffer;
    ZSTD_inBuffer input = {in_buffer, length, 0};
    size_t remaining;
    do {
      ZSTD_outBuffer output = {out_buffer, sizeof out_buffer, 0};
      remaining = check(ZSTD_compressStream2(context, &output, &input, is_last ? ZSTD_e_end : ZSTD_e_continue));
      fwrite(out_buffer, 1, output.pos, out);
      out_total += output.pos;
    } while (is_last ? remaining != 0 : input.pos < input.size);
  } while (!is_last);
  ZSTD_freeCCtx(context);
  if (fclose(out) || fclose(in)) fail("can't close");
  printf("level %d: %zu bytes to %zu\n", level, in_total, out_total);
}

static void decompress_file(const char *from) {
  FILE *in = open_file(from, "rb");
  ZSTD_DCtx *context = ZSTD_createDCtx();
  static char in_buffer[4096], out_buffer[4096];
  size_t length;
  while ((length = fread(in_buffer, 1, sizeof in_buffer, in)) > 0) {
    ZSTD_inBuffer input = {in_buffer, length, 0};
    while (input.pos < input.size) {
      ZSTD_outBuffer output = {out_buffer, sizeof out_buffer, 0};
      check(ZSTD_decompressStream(context, &output, &input));
      fwrite(out_buffer, 1, output.pos, stdout);
    }
  }
  ZSTD_freeDCtx(context);
  fclose(in);
}

int main(int argc, char **argv) {
  if (argc == 5 && !strcmp(argv[1], "compress")) {
    compress_file(atoi(argv[2]), argv[3], argv[4]);
  } else if (argc == 3 && !strcmp(argv[1], "decompress")) {
    decompress_file(argv[2]);
  } else if (argc == 3 && !strcmp(argv[1], "levels")) {
    for (int level = 1; level <= 19; level += 6) compress_file(level, argv[2], "/levels.zst");
  } else {
    fail("usage: zstd compress LEVEL IN OUT | decompress IN | levels IN");
  }
  return 0;
}
