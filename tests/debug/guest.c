#include <stdlib.h>

struct item {
  int price;
  const char *name;
  struct item *next;
};

__attribute__((import_module("shop"), import_name("note"))) void note(int price);

static struct item *items;
int rebates[3] = {1, 2, 3};

__attribute__((noinline)) static int sum(const struct item *list, int rebate) {
  int total = 0;
  for (const struct item *at = list; at; at = at->next) {
    total += at->price - rebates[rebate];
    note(at->price);
  }
  return total;
}

__attribute__((export_name("add"))) void add(int price) {
  struct item *item = malloc(sizeof *item);
  item->price = price;
  item->name = price > 10 ? "expensive" : "cheap";
  item->next = items;
  items = item;
}

__attribute__((export_name("total"))) int total(int rebate) {
  char text[8] = "a text";
  int result = sum(items, rebate);
  return result + text[0] - 'a';
}

__attribute__((export_name("twice"))) int twice(int n) {
  return 2 * n;
}

__attribute__((export_name("check"))) void check(int reason) {
  if (reason > 0)
    __builtin_trap();
}
