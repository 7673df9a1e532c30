// Bodies that attract each other: square roots and divisions of doubles.

#include <math.h>
#include <stdio.h>

enum { BODIES = 6, STEPS = 4000000 };
struct body {
  double x[3], v[3], mass;
};
static struct body bodies[BODIES];

static double energy(void) {
  double sum = 0;
  for (int i = 0; i < BODIES; i++) {
    struct body *b = &bodies[i];
    sum += b->mass * (b->v[0] * b->v[0] + b->v[1] * b->v[1] + b->v[2] * b->v[2]) / 2;
  }
  return sum;
}

static void advance(double dt) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      struct body *a = &bodies[i], *b = &bodies[j];
      double d[3], square = 0.01;
      for (int k = 0; k < 3; k++) {
        d[k] = a->x[k] - b->x[k];
        square += d[k] * d[k];
      }
      double pull = dt / (square * sqrt(square));
      for (int k = 0; k < 3; k++) {
        a->v[k] -= d[k] * b->mass * pull;
        b->v[k] += d[k] * a->mass * pull;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

int main(void) {
  for (int i = 0; i < BODIES; i++) {
    bodies[i] = (struct body){{i * 1.5, 3.0 - i, i % 3}, {0.1 * (i % 2), -0.05 * i, 0.02}, 1.0 / (1 + i * i)};
  }
  for (int i = 0; i < STEPS; i++) advance(0.001);
  printf("%.9f\n", energy());
  return 0;
}
