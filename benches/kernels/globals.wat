;; Mutable globals in a loop, as the stack pointer of C code is, with tail calls between two functions.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $stack (mut i32) (i32.const 60000))
  (global $sum (mut i32) (i32.const 0))

  ;; Each call takes 16 bytes of the stack in memory and gives them back.
  (func $even (param $n i32) (result i32)
    (global.set $stack (i32.sub (global.get $stack) (i32.const 16)))
    (i32.store (global.get $stack) (local.get $n))
    (global.set $sum (i32.add (global.get $sum) (i32.load (global.get $stack))))
    (global.set $stack (i32.add (global.get $stack) (i32.const 16)))
    (if (i32.eqz (local.get $n)) (then (return (global.get $sum))))
    (return_call $odd (i32.sub (local.get $n) (i32.const 1))))

  (func $odd (param $n i32) (result i32)
    (global.set $sum (i32.xor (i32.rotl (global.get $sum) (i32.const 3)) (local.get $n)))
    (if (i32.eqz (local.get $n)) (then (return (global.get $sum))))
    (return_call $even (i32.sub (local.get $n) (i32.const 1))))

  ;; Prints the sum as eight letters.
  (func (export "_start")
    (local $value i32) (local $at i32)
    (local.set $value (call $even (i32.const 200000000)))
    (local.set $at (i32.const 16))
    (loop $letters
      (i32.store8 (local.get $at) (i32.add (i32.const 97) (i32.and (local.get $value) (i32.const 15))))
      (local.set $value (i32.shr_u (local.get $value) (i32.const 4)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $letters (i32.lt_u (local.get $at) (i32.const 24))))
    (i32.store8 (i32.const 24) (i32.const 10))
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 9))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
