;; What a script imports as `./math.wat`, or, assembled, as `./math.wasm`.
(module
  ;; A function of a script beside this file.
  (import "./report.js" "report" (func $report (param i32)))
  (memory (export "memory") 1)
  (global (export "calls") (mut i32) (i32.const 0))

  (func (export "add") (param i32 i32) (result i32)
    (global.set 0 (i32.add (global.get 0) (i32.const 1)))
    (i32.add (local.get 0) (local.get 1)))

  ;; A number of 64 bits is a BigInt in JavaScript.
  (func (export "factorial") (param $n i64) (result i64)
    (local $product i64)
    (local.set $product (i64.const 1))
    (loop $next
      (if (i64.gt_s (local.get $n) (i64.const 1))
        (then
          (local.set $product (i64.mul (local.get $product) (local.get $n)))
          (local.set $n (i64.sub (local.get $n) (i64.const 1)))
          (br $next))))
    (local.get $product))

  ;; Several results are an array.
  (func (export "divide") (param i32 i32) (result i32 i32)
    (i32.div_s (local.get 0) (local.get 1))
    (i32.rem_s (local.get 0) (local.get 1)))

  (func (export "is_even") (param i32) (result i32)
    (i32.eqz (i32.and (local.get 0) (i32.const 1))))

  ;; The sum of bytes that a script has written to memory.
  (func (export "sum") (param $len i32) (result i32)
    (local $i i32) (local $sum i32)
    (loop $next
      (if (i32.lt_u (local.get $i) (local.get $len))
        (then
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))
    (call $report (local.get $sum))
    (local.get $sum)))
