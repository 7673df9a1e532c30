;; The memory that strings.c and reverse.c share: two MiB at first.
(module (memory (export "memory") 32))
