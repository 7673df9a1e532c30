// A hash table with open addressing: words are counted, keys compared byte by byte.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SLOTS = 1 << 15, WORDS = 16000000 };
static struct {
  char key[12];
  uint32_t count;
} table[SLOTS];

static uint32_t hash(const char *key) {
  uint32_t value = 2166136261u;
  for (; *key; key++) value = (value ^ (uint8_t)*key) * 16777619u;
  return value;
}

int main(void) {
  uint32_t state = 1;
  for (int i = 0; i < WORDS; i++) {
    state = state * 1664525 + 1013904223;
    char key[12];
    int length = 0;
    for (uint32_t n = (state >> 8) % ((state >> 4) % 20000 + 1) + 1; n; n /= 13) key[length++] = 'a' + n % 13;
    key[length] = 0;
    uint32_t slot = hash(key) % SLOTS;
    while (table[slot].count && strcmp(table[slot].key, key)) slot = (slot + 1) % SLOTS;
    if (!table[slot].count++) strcpy(table[slot].key, key);
  }
  uint64_t sum = 0;
  for (uint32_t i = 0; i < SLOTS; i++) sum += (uint64_t)table[i].count * table[i].count;
  printf("%llu\n", (unsigned long long)sum);
  return 0;
}
