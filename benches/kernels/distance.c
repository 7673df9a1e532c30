// Edit distance of two strings: a table, minima, loads that depend on stores.

#include <stdio.h>
#include <string.h>

enum { LENGTH = 4000, TIMES = 20 };
static char a[LENGTH], b[LENGTH];
static int row[LENGTH + 1];

static int min(int x, int y) { return x < y ? x : y; }

static int distance(void) {
  for (int j = 0; j <= LENGTH; j++) row[j] = j;
  for (int i = 0; i < LENGTH; i++) {
    int diagonal = row[0];
    row[0] = i + 1;
    for (int j = 0; j < LENGTH; j++) {
      int substitute = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = min(substitute, min(row[j], row[j + 1]) + 1);
    }
  }
  return row[LENGTH];
}

int main(void) {
  unsigned state = 1;
  int sum = 0;
  for (int t = 0; t < TIMES; t++) {
    for (int i = 0; i < LENGTH; i++) {
      state = state * 1664525 + 1013904223;
      a[i] = state >> 30;
      b[i] = state >> 28 & 3;
    }
    sum += distance();
  }
  printf("%d\n", sum);
  return 0;
}
