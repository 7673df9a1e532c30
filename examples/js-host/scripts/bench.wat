(module
  (import "./bench-callee.js" "none" (func $none))
  (import "./bench-callee.js" "add" (func $add (param i32 i32) (result i32)))
  (import "./bench-callee.js" "add" (func $add_f64 (param f64 f64) (result f64)))
  (import "./bench-callee.js" "add" (func $add_i64 (param i64 i64) (result i64)))
  (func (export "none"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "add_f64") (param f64 f64) (result f64) (f64.add (local.get 0) (local.get 1)))
  (func (export "add_i64") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
  (func (export "two") (param i32 i32) (result i32 i32) (local.get 1) (local.get 0))
  ;; These call JavaScript that often.
  (func (export "call_none") (param $n i32)
    (loop $next
      (call $none)
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "call_add") (param $n i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (call $add (local.get $sum) (i32.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "call_add_f64") (param $n i32) (result f64) (local $sum f64)
    (loop $next
      (local.set $sum (call $add_f64 (local.get $sum) (f64.const 0.5)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "call_add_i64") (param $n i32) (result i64) (local $sum i64)
    (loop $next
      (local.set $sum (call $add_i64 (local.get $sum) (i64.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
