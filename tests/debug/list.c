#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum color { RED, GREEN = 5, BLUE };

struct node {
  int value;
  const char *name;
  struct node *next;
  double weight;
};

union word {
  unsigned number;
  unsigned char bytes[4];
};

static int total;
int table[4] = {1, 2, 3, 5};
const char *greeting = "hello, debugger";

static struct node *push(struct node *head, int value, const char *name) {
  struct node *node = malloc(sizeof *node);
  node->value = value;
  node->name = name;
  node->next = head;
  node->weight = value * 1.5;
  return node;
}

__attribute__((noinline)) int sum(const struct node *list) {
  int result = 0;
  for (const struct node *at = list; at; at = at->next) {
    result += at->value;
    total += 1;
  }
  return result;
}

__attribute__((noinline)) int factorial(int n) {
  if (n <= 1)
    return 1;
  int rest = factorial(n - 1);
  return n * rest;
}

__attribute__((noinline)) void fail(int reason) {
  if (reason > 0)
    __builtin_trap();
}

int main(int argc, char **argv) {
  struct node *list = NULL;
  enum color color = GREEN;
  union word word = {.number = 0x01020304};
  char text[16] = "a local text";
  list = push(list, 1, "one");
  list = push(list, 2, "two");
  list = push(list, 3, "three");
  int result = sum(list);
  int f = factorial(5);
  printf("%d %d %d %s %u %d %s\n", result, f, color, text, word.bytes[0], table[2] + total, greeting);
  if (argc > 1 && strcmp(argv[1], "trap") == 0)
    fail(argc);
  while (argc > 1 && argv[1][0] == 'l')
    total++;
  return 0;
}
