#include "first.h"
#include "second.h"
#include <stdio.h>

static int noted;

static void note_first(first_instance *instance, int32_t price) {
  (void)instance;
  noted += price;
}

static void note_second(second_instance *instance, int32_t price) {
  (void)instance;
  noted -= price;
}

int main(void) {
  first_imports imports = {note_first};
  second_imports others = {note_second};
  first_instance *shop = first_new(&imports, NULL, NULL, NULL);
  second_instance *stall = second_new(&others, NULL, NULL, NULL);
  first_add(shop, 5, NULL);
  first_add(shop, 20, NULL);
  second_add(stall, 100, NULL);
  int sum = first_total(shop, 1, NULL);
  int other = second_total(stall, 2, NULL);
  printf("%d %d %d %d\n", sum, other, noted, first_twice(shop, sum, NULL));
  aot_trap *trap = NULL;
  first_check(shop, 1, &trap);
  printf("trap %d\n", trap ? aot_trap_code(trap) : -1);
  aot_trap_delete(trap);
  first_delete(shop);
  second_delete(stall);
  return 0;
}
