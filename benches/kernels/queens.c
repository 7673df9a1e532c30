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
  printf("%d\n", place((1u << 13) - 1, 0, 0, 0));
  return 0;
}
