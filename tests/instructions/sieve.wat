;; Loads and stores of bytes, loops in loops.
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (func $sieve (param $limit i32) (result i32) (local $i i32) (local $j i32) (local $count i32)
    (local.set $i (i32.const 2))
    (loop $next
      (if (i32.eqz (i32.load8_u offset=1024 (local.get $i)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $j (i32.mul (local.get $i) (i32.const 2)))
          (block $done (loop $mark
            (br_if $done (i32.ge_u (local.get $j) (local.get $limit)))
            (i32.store8 offset=1024 (local.get $j) (i32.const 1))
            (local.set $j (i32.add (local.get $j) (local.get $i)))
            (br $mark)))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $limit))))
    (local.get $count))
  (func (export "_start")
    (call $exit (select (i32.const 42) (i32.const 1)
      (i32.eq (call $sieve (i32.const 2000)) (i32.const 303))))))
