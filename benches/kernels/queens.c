// Backtracking with bits: the queens on a chessboard.

#include <stdio.h>

static int place(unsigned all, unsigned columns, unsigned left, unsigned right) {
  if (columns == all) return 1;
  int count = 0;
  for (unsigned free = all & ~(columns | left | right); free; free &= free - 1) {
    unsigned bit = free & -free;
    count += place(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return count;
}

int main(void) {
  int sum = 0;
  for (unsigned size = 9; size <= 14; size++) sum += place((1u << size) - 1, 0, 0, 0);
  printf("%d\n", sum);
  return 0;
}
