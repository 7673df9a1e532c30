// Sixteen bytes at once: counts letters and folds case, with SIMD compares and selects.
// wasm: -msimd128

#include <stdint.h>
#include <stdio.h>

typedef uint8_t vec __attribute__((vector_size(16)));
enum { SIZE = 1 << 20, TIMES = 6000 };
static vec text[SIZE / 16];

int main(void) {
  uint32_t state = 1;
  for (int i = 0; i < SIZE; i++) {
    state = state * 1664525 + 1013904223;
    text[i / 16][i % 16] = 32 + (state >> 24) % 96;
  }
  uint64_t letters = 0;
  for (int t = 0; t < TIMES; t++) {
    for (int i = 0; i < SIZE / 16; i += 128) {
      vec count = {0};
      for (int j = i; j < i + 128; j++) {
        vec lower = text[j] | 32;
        vec is_letter = (vec)((lower >= 'a') & (lower <= 'z'));
        count -= is_letter;
        text[j] ^= is_letter & 32;
      }
      for (int k = 0; k < 16; k++) letters += count[k];
    }
  }
  uint32_t sum = 0;
  for (int i = 0; i < SIZE; i++) sum = sum * 31 + text[i / 16][i % 16];
  printf("%llu %u\n", (unsigned long long)letters, sum);
  return 0;
}
