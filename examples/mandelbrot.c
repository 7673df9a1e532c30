// Draws the Mandelbrot set in characters; the argument is the width in columns.
//
//     clang --target=wasm32-wasi -O2 examples/mandelbrot.c -o mandelbrot.wasm
//     aot build mandelbrot.wasm -o mandelbrot
//     ./mandelbrot 100

#include <stdio.h>
#include <stdlib.h>

static int iterations(double x0, double y0, int limit) {
  double x = 0, y = 0;
  int i = 0;
  while (i < limit && x * x + y * y < 4) {
    double next = x * x - y * y + x0;
    y = 2 * x * y + y0;
    x = next;
    i++;
  }
  return i;
}

int main(int argc, char **argv) {
  int width = argc > 1 ? atoi(argv[1]) : 72;
  if (width < 2 || width > 1000) {
    fprintf(stderr, "usage: mandelbrot [WIDTH], 2 to 1000\n");
    return 2;
  }
  static const char shades[] = " .:-=+*#%@";
  const int limit = 2000, height = width / 3;
  for (int row = 0; row < height; row++) {
    for (int column = 0; column < width; column++) {
      int i = iterations(3.0 * column / width - 2.2, 2.4 * row / height - 1.2, limit);
      putchar(i == limit ? shades[9] : shades[i < 27 ? i / 3 : 8]);
    }
    putchar('\n');
  }
  return 0;
}
