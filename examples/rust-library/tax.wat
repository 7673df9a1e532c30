;; The tax in a price, and the price without it. The rate is a per cent.
(module
  (global $rate (export "rate") (mut i64) (i64.const 20))
  (func (export "split") (param $price i64) (result i64 i64)
    (local $net i64)
    (local.set $net
      (i64.div_u (i64.mul (local.get $price) (i64.const 100)) (i64.add (i64.const 100) (global.get $rate))))
    (i64.sub (local.get $price) (local.get $net))
    (local.get $net)))
