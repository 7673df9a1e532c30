;; A switch over byte codes: count down from 999 by a loop of five instructions.
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (data (i32.const 0) "\00\01\02\03\04")
  (func (export "_start") (local $pc i32) (local $a i32) (local $n i32)
    (local.set $n (i32.const 999))
    (loop $run
      (block $halt (block $back (block $test (block $double (block $add (block $load
        (br_table $load $add $double $test $back $halt (i32.load8_u (local.get $pc))))
        (local.set $a (i32.xor (local.get $a) (local.get $n)))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $run))
        (local.set $a (i32.add (local.get $a) (i32.const 7)))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $run))
        (local.set $a (i32.shl (local.get $a) (i32.const 1)))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $run))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (local.set $pc (i32.add (local.get $pc) (i32.const 1))) (br $run))
        (local.set $pc (select (i32.const 0) (i32.const 100) (local.get $n)))
        (i32.store8 (i32.const 100) (i32.const 9)) (br $run)))
    (call $exit (select (i32.const 42) (i32.const 1) (i32.eqz (local.get $n))))))
