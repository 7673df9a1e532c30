# The least that a static program can do: it exits. Nothing that is started can be faster.
    .globl _start
_start:
    xorl %edi, %edi
    movl $231, %eax        # exit_group(0)
    syscall
