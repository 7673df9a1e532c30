// Deep recursion: Ackermann's function.

#include <stdio.h>

__attribute__((noinline)) static int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

// Not a constant for the compiler, which would call once for equal arguments.
static volatile int first = 3;

int main(void) {
  int sum = 0;
  for (int i = 0; i < 10; i++) sum += ackermann(first, 9 + i % 2);
  printf("%d\n", sum);
  return 0;
}
