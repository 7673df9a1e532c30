// Runs a kernel that wasm2c has translated to C: as much of WASI as kernels use.

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "program.h"

struct Z_wasi_snapshot_preview1_instance_t {
  Z_kernel_instance_t kernel;
};
typedef struct Z_wasi_snapshot_preview1_instance_t Wasi;

enum { EBADF_OF_WASI = 8, ESPIPE_OF_WASI = 70 };

static u8 *at(Wasi *wasi, u32 address) { return Z_kernelZ_memory(&wasi->kernel)->data + address; }

static u32 word(Wasi *wasi, u32 address) {
  u32 word;
  wasm_rt_memcpy(&word, at(wasi, address), sizeof word);
  return word;
}

u32 Z_wasi_snapshot_preview1Z_fd_write(Wasi *wasi, u32 fd, u32 pieces, u32 count, u32 written) {
  u32 sum = 0;
  for (u32 i = 0; i < count; i++) {
    u32 start = word(wasi, pieces + 8 * i), len = word(wasi, pieces + 8 * i + 4);
    while (len > 0) {
      ssize_t now = write((int)fd, at(wasi, start), len);
      if (now < 0) return EBADF_OF_WASI;
      start += (u32)now, len -= (u32)now, sum += (u32)now;
    }
  }
  wasm_rt_memcpy(at(wasi, written), &sum, sizeof sum);
  return 0;
}

u32 Z_wasi_snapshot_preview1Z_fd_close(Wasi *wasi, u32 fd) { return (void)wasi, (void)fd, 0; }

u32 Z_wasi_snapshot_preview1Z_fd_seek(Wasi *wasi, u32 fd, u64 offset, u32 whence, u32 result) {
  return (void)wasi, (void)fd, (void)offset, (void)whence, (void)result, ESPIPE_OF_WASI;
}

// A character device that can be written.
u32 Z_wasi_snapshot_preview1Z_fd_fdstat_get(Wasi *wasi, u32 fd, u32 result) {
  u64 stat[3] = {2, ~0ull, ~0ull};
  if (fd > 2) return EBADF_OF_WASI;
  wasm_rt_memcpy(at(wasi, result), stat, sizeof stat);
  return 0;
}

void Z_wasi_snapshot_preview1Z_proc_exit(Wasi *wasi, u32 status) {
  (void)wasi;
  exit((int)status);
}

int main(void) {
  static Wasi wasi;
  wasm_rt_init();
  Z_kernel_init_module();
  Z_kernel_instantiate(&wasi.kernel, &wasi);
  Z_kernelZ__start(&wasi.kernel);
  return 0;
}
