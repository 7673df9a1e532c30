// The Mandelbrot set: a loop of double multiplications that carries its values along.

#include <stdio.h>

int main(void) {
  enum { SIZE = 800, LIMIT = 1000 };
  unsigned sum = 0;
  for (int row = 0; row < SIZE; row++)
    for (int column = 0; column < SIZE; column++) {
      double x0 = 3.0 * column / SIZE - 2.2, y0 = 2.4 * row / SIZE - 1.2, x = 0, y = 0;
      int i = 0;
      while (i < LIMIT && x * x + y * y < 4) {
        double next = x * x - y * y + x0;
        y = 2 * x * y + y0;
        x = next;
        i++;
      }
      sum = sum * 7 + i;
    }
  printf("%u\n", sum);
  return 0;
}
