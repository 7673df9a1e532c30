// Allocation: builds, walks and frees binary trees.

#include <stdio.h>
#include <stdlib.h>

struct node {
  struct node *left, *right;
};

static struct node *build(int depth) {
  struct node *node = malloc(sizeof *node);
  if (!node) abort();
  node->left = depth ? build(depth - 1) : NULL;
  node->right = depth ? build(depth - 1) : NULL;
  return node;
}

static int count(const struct node *node) { return node ? 1 + count(node->left) + count(node->right) : 0; }

static void release(struct node *node) {
  if (!node) return;
  release(node->left);
  release(node->right);
  free(node);
}

int main(void) {
  struct node *kept = build(17);
  int total = 0;
  for (int depth = 4; depth <= 16; depth += 2)
    for (int i = 0; i < 1 << (20 - depth); i++) {
      struct node *tree = build(depth);
      total += count(tree);
      release(tree);
    }
  printf("%d %d\n", total, count(kept));
  release(kept);
  return 0;
}
