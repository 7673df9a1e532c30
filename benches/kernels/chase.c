// Chasing pointers through a shuffled list: one load waits for the other.

#include <stdint.h>
#include <stdio.h>

enum { N = 1 << 15, STEPS = 120000000 };
static struct node {
  struct node *next;
  uint32_t value;
} nodes[N];

int main(void) {
  static uint32_t order[N];
  uint32_t state = 1;
  for (uint32_t i = 0; i < N; i++) order[i] = i;
  for (uint32_t i = N - 1; i > 0; i--) {
    state = state * 1664525 + 1013904223;
    uint32_t j = (state >> 8) % (i + 1), swap = order[i];
    order[i] = order[j];
    order[j] = swap;
  }
  for (uint32_t i = 0; i < N; i++) {
    nodes[order[i]].next = &nodes[order[(i + 1) % N]];
    nodes[i].value = i;
  }
  uint32_t sum = 0;
  const struct node *node = nodes;
  for (int i = 0; i < STEPS; i++) {
    sum ^= node->value + i;
    node = node->next;
  }
  printf("%u\n", sum);
  return 0;
}
