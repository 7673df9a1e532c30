// Calls through a table of function pointers, as in interpreters and objects with methods.

#include <stdint.h>
#include <stdio.h>

typedef uint32_t operation(uint32_t value, uint32_t operand);
static uint32_t add(uint32_t a, uint32_t b) { return a + b; }
static uint32_t subtract(uint32_t a, uint32_t b) { return a - b; }
static uint32_t exclusive(uint32_t a, uint32_t b) { return a ^ b; }
static uint32_t rotate(uint32_t a, uint32_t b) { return a << 7 | a >> 25; }
static uint32_t multiply(uint32_t a, uint32_t b) { return a * (b | 1); }
static uint32_t shift(uint32_t a, uint32_t b) { return a ^ a >> (b & 15); }
static uint32_t keep(uint32_t a, uint32_t b) { return a; }
static uint32_t invert(uint32_t a, uint32_t b) { return ~a; }

static operation *volatile source[] = {add, subtract, exclusive, rotate, multiply, shift, keep, invert};

int main(void) {
  enum { LENGTH = 32, TIMES = 6000000 };
  static operation *table[LENGTH];
  for (int i = 0; i < LENGTH; i++) table[i] = source[i * 5 % 8];
  uint32_t value = 1;
  for (int t = 0; t < TIMES; t++)
    for (int i = 0; i < LENGTH; i++) value = table[i](value, t);
  printf("%u\n", value);
  return 0;
}
