;; A plugin: the price of some pieces, a tenth less from ten pieces on.
(module
  (import "shop" "note" (func $note (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "a tenth off")
  (func (export "price") (param $pieces i32) (param $cents i64) (result i64)
    (local $sum i64)
    (local.set $sum (i64.mul (i64.extend_i32_u (local.get $pieces)) (local.get $cents)))
    (if (i32.ge_u (local.get $pieces) (i32.const 10))
      (then
        (call $note (i32.const 16) (i32.const 11))
        (local.set $sum (i64.div_u (i64.mul (local.get $sum) (i64.const 9)) (i64.const 10)))))
    (local.get $sum)))
