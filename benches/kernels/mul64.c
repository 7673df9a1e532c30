// Arithmetic modulo a 64-bit prime, as in cryptography: products of 128 bits.

#include <stdint.h>
#include <stdio.h>

static const uint64_t prime = 0xffffffff00000001;

// The prime is 2^64 - 2^32 + 1, so high words can be folded down.
static uint64_t multiply(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  uint64_t low = (uint64_t)product, high = (uint64_t)(product >> 64);
  uint64_t top = high >> 32, middle = high & 0xffffffff;
  uint64_t result = low - top;
  if (low < top) result -= 0xffffffff;
  uint64_t addend = (middle << 32) - middle, sum = result + addend;
  if (sum < addend) sum += 0xffffffff;
  return sum >= prime ? sum - prime : sum;
}

int main(void) {
  uint64_t sum = 0;
  for (uint64_t base = 2; base < 1200002; base++) {
    uint64_t power = 1, square = base;
    for (uint64_t exponent = 0xfedcba987; exponent; exponent >>= 1) {
      if (exponent & 1) power = multiply(power, square);
      square = multiply(square, square);
    }
    sum ^= power;
  }
  printf("%llx\n", (unsigned long long)sum);
  return 0;
}
