// Heapsort: comparisons that can't be predicted, loads all over an array.

#include <stdint.h>
#include <stdio.h>

enum { N = 1 << 20, TIMES = 3 };
static uint32_t heap[N];

static void sift(int root, int end) {
  uint32_t value = heap[root];
  for (int child; (child = 2 * root + 1) < end; root = child) {
    if (child + 1 < end && heap[child] < heap[child + 1]) child++;
    if (value >= heap[child]) break;
    heap[root] = heap[child];
  }
  heap[root] = value;
}

int main(void) {
  uint32_t state = 1, sum = 0;
  for (int t = 0; t < TIMES; t++) {
    for (int i = 0; i < N; i++) heap[i] = state = state * 1664525 + 1013904223;
    for (int i = N / 2; i-- > 0;) sift(i, N);
    for (int end = N; --end > 0;) {
      uint32_t largest = heap[0];
      heap[0] = heap[end];
      heap[end] = largest;
      sift(0, end);
    }
    for (int i = 0; i < N; i++) sum = sum * 31 + heap[i];
  }
  printf("%u\n", sum);
  return 0;
}
