// Multiplication of matrices of doubles, three plain loops.

#include <stdio.h>

enum { N = 400, TIMES = 18 };
static double a[N][N], b[N][N], c[N][N];

int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (i * 7 + j) % 13 - 6;
      b[i][j] = (i + j * 5) % 11 - 5;
    }
  for (int t = 0; t < TIMES; t++) {
    for (int i = 0; i < N; i++)
      for (int k = 0; k < N; k++) {
        double x = a[i][k] + t;
        for (int j = 0; j < N; j++) c[i][j] += x * b[k][j];
      }
  }
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += c[i][j] * (i - j);
  printf("%.0f\n", sum);
  return 0;
}
