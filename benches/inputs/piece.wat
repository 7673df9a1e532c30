  (func $piece{n} (export "piece{n}") (param $a i32) (param $b i64) (result i64)
    (local $i i32) (local $sum i64)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $a)))
        (local.set $sum (i64.add (local.get $sum) (i64.mul (local.get $b) (i64.extend_i32_u (local.get $i)))))
        (if (i64.lt_s (local.get $sum) (i64.const {n}))
          (then (i64.store offset=16 (i32.shl (local.get $i) (i32.const 3)) (local.get $sum)))
          (else (local.set $b (i64.load offset=24 align=4 (i32.const 0x{n})))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i64.xor (local.get $sum) (i64.reinterpret_f64 (f64.const {n}.5))))
