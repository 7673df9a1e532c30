;; Calls through a table.
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (type $op (func (param i32) (result i32)))
  (table funcref (elem $add $rotate $xor $multiply))
  (func $add (type $op) (i32.add (local.get 0) (i32.const 12345)))
  (func $rotate (type $op) (i32.rotl (local.get 0) (i32.const 5)))
  (func $xor (type $op) (i32.xor (local.get 0) (i32.const 0x5bd1e995)))
  (func $multiply (type $op) (i32.mul (local.get 0) (i32.const 0x01000193)))
  (func (export "_start") (local $i i32) (local $x i32)
    (loop $next
      (local.set $x (call_indirect (type $op) (local.get $x) (i32.and (local.get $i) (i32.const 3))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000))))
    (call $exit (select (i32.const 42) (i32.const 1) (local.get $x)))))
