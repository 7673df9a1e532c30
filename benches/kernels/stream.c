// Memory streaming: copy, scale, add over arrays larger than the caches near the core.

#include <stdio.h>
#include <string.h>

enum { N = 1 << 20, TIMES = 120 };
static double a[N], b[N], c[N];

int main(void) {
  for (int i = 0; i < N; i++) a[i] = i % 100, b[i] = 1, c[i] = 0;
  for (int t = 0; t < TIMES; t++) {
    memcpy(c, a, sizeof c);
    for (int i = 0; i < N; i++) b[i] = 0.5 * c[i];
    for (int i = 0; i < N; i++) c[i] = a[i] + b[i];
    for (int i = 0; i < N; i++) a[i] = b[i] + 0.25 * c[i];
  }
  double sum = 0;
  for (int i = 0; i < N; i++) sum += a[i];
  printf("%.6e\n", sum);
  return 0;
}
