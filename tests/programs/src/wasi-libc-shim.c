// What Rust's standard library refers to and Debian's wasi-libc, of 2022, does not have. The answers are
// those of a newer wasi-libc without threads: none can be made.

#include <errno.h>
#include <stdlib.h>

int pthread_attr_init(void *attributes) { return 0; }
int pthread_attr_destroy(void *attributes) { return 0; }
int pthread_attr_setstacksize(void *attributes, size_t size) { return 0; }
int pthread_create(void *thread, const void *attributes, void *(*start)(void *), void *argument) { return EAGAIN; }
int pthread_join(void *thread, void **result) { return EINVAL; }
int pthread_detach(void *thread) { return EINVAL; }

char *realpath(const char *path, char *resolved) {
  errno = ENOSYS;
  return NULL;
}
