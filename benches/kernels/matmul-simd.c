// The same with vectors of four floats: SIMD.
// wasm: -msimd128

#include <stdio.h>

typedef float vec __attribute__((vector_size(16)));
enum { N = 512, TIMES = 28 };
static float a[N][N];
static vec b[N][N / 4], c[N][N / 4];

int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (i * 7 + j) % 3 - 1;
      b[i][j / 4][j % 4] = (i + j * 5) % 5 - 2;
    }
  for (int t = 0; t < TIMES; t++) {
    for (int i = 0; i < N; i++)
      for (int k = 0; k < N; k += 2) {
        float first = a[i][k] + t, second = a[i][k + 1] - t;
        vec x = {first, first, first, first}, y = {second, second, second, second};
        for (int j = 0; j < N / 4; j++) c[i][j] += x * b[k][j] + y * b[k + 1][j];
      }
  }
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += c[i][j / 4][j % 4] * (i % 17 - j % 5);
  printf("%.0f\n", sum);
  return 0;
}
