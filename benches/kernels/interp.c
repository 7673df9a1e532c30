// A branchy interpreter: a switch over byte codes of a small stack machine.

#include <stdint.h>
#include <stdio.h>

enum { PUSH, LOAD, STORE, ADD, MUL, XOR, SHR, LESS, JUMP_IF, DUP, SWAP, HALT };

// sum = 0, x = 1; for (i = 0; i != n; i++) { x = x * 48271 ^ x >> 7; sum += x; }
static const uint8_t program[] = {
    PUSH,  0,  STORE, 0,  PUSH, 1,   STORE, 1,   PUSH, 0,     STORE, 2,
    LOAD,  1,  DUP,   PUSH, 3,  MUL, SWAP, PUSH, 7,    SHR,   XOR,   STORE, 1,
    LOAD,  0,  LOAD,  1,  ADD,  STORE, 0,  LOAD, 2,    PUSH,  1,     ADD,   DUP, STORE, 2,
    LOAD,  3,  LESS,  JUMP_IF, 12, LOAD, 0, HALT,
};

static uint32_t run(const uint8_t *code, uint32_t *variables) {
  uint32_t stack[16], *top = stack;
  for (uint32_t at = 0;;) {
    switch (code[at++]) {
    case PUSH: *top++ = code[at++]; break;
    case LOAD: *top++ = variables[code[at++]]; break;
    case STORE: variables[code[at++]] = *--top; break;
    case ADD: top--, top[-1] += *top; break;
    case MUL: top--, top[-1] *= *top == 3 ? 48271 : *top; break;
    case XOR: top--, top[-1] ^= *top; break;
    case SHR: top--, top[-1] >>= *top; break;
    case LESS: top--, top[-1] = top[-1] < *top; break;
    case JUMP_IF: at = *--top ? code[at] : at + 1; break;
    case DUP: *top = top[-1], top++; break;
    case SWAP: {
      uint32_t value = top[-1];
      top[-1] = top[-2], top[-2] = value;
      break;
    }
    case HALT: return *--top;
    }
  }
}

int main(void) {
  uint32_t variables[4] = {0, 0, 0, 10000000};
  printf("%u\n", run(program, variables));
  return 0;
}
