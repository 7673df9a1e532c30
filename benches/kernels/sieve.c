// The sieve of Eratosthenes: byte stores with a stride.

#include <stdio.h>
#include <string.h>

enum { LIMIT = 5000000, TIMES = 24 };
static char is_composite[LIMIT];

int main(void) {
  int count = 0;
  for (int t = 0; t < TIMES; t++) {
    memset(is_composite, 0, sizeof is_composite);
    for (int i = 2; i < LIMIT; i++) {
      if (is_composite[i]) continue;
      count += i ^ t;
      for (int j = i; j < LIMIT - i; ) is_composite[j += i] = 1;
    }
  }
  printf("%d\n", count);
  return 0;
}
