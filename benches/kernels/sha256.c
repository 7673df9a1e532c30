// SHA-256 (FIPS 180-4) of some megabytes: rotations and additions.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t k[64], initial[8];

// The constants are the fractions of cube and square roots of the first primes.
static uint32_t fraction_of_root(unsigned prime, int power) {
  unsigned __int128 low = 0, high = (unsigned __int128)20 << 32;
  while (high - low > 1) {
    unsigned __int128 middle = (low + high) / 2, value = middle;
    for (int i = 1; i < power; i++) value *= middle;
    if (value >> (32 * power) < prime) low = middle;
    else high = middle;
  }
  return (uint32_t)low;
}

static void make_constants(void) {
  int count = 0;
  for (unsigned n = 2; count < 64; n++) {
    int is_prime = 1;
    for (unsigned d = 2; d * d <= n; d++) is_prime &= n % d != 0;
    if (!is_prime) continue;
    if (count < 8) initial[count] = fraction_of_root(n, 2);
    k[count++] = fraction_of_root(n, 3);
  }
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), choice = (e & f) ^ (~e & g);
    uint32_t t1 = h + s1 + choice + k[i] + w[i];
    uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), majority = (a & b) ^ (a & c) ^ (b & c);
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + s0 + majority;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

int main(void) {
  enum { SIZE = 1 << 20, TIMES = 150 };
  static uint8_t data[SIZE];
  make_constants();
  uint32_t state[8];
  memcpy(state, initial, sizeof state);
  for (int i = 0; i < SIZE; i++) data[i] = i * 31 + (i >> 8);
  for (int t = 0; t < TIMES; t++)
    for (int i = 0; i < SIZE; i += 64) compress(state, data + i);
  for (int i = 0; i < 8; i++) printf("%08x", state[i]);
  printf("\n");
  return 0;
}
