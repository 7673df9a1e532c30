;; Switches in loops, whose cases are given jumps of their own: values of the block that dispatches are used in cases,
;; after the loop, and around an inner loop that dispatches too.

(module
  (memory 1)
  ;; add 3, double, join, skip if odd, join, inner, end
  (data (i32.const 0) "\00\01\02\03\01\04\05\00\00\01\02\00\03\06")
  (data (i32.const 64) "\02\00\01\03\01\04")
  (func (export "run") (param $acc i32) (result i32)
    (local $at i32) (local $steps i32) (local $inner i32)
    (block $end
      (loop $next
        (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
        (block $join
          (block $inner (block $four (block $skip (block $two (block $double (block $add
            (br_table $add $double $two $skip $four $inner $end (i32.load8_u (local.get $at))))
            ;; $add
            (local.set $acc (i32.add (local.get $acc) (i32.const 3)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next))
           ;; $double
           (local.set $acc (i32.mul (local.get $acc) (i32.const 2)))
           (local.set $at (i32.add (local.get $at) (i32.const 1)))
           (br $next))
          ;; $two
          (local.set $acc (i32.xor (local.get $acc) (local.get $at)))
          (br $join))
         ;; $skip
         (local.set $at (i32.add (local.get $at) (i32.const 1)))
         (br_if $next (i32.and (local.get $acc) (i32.const 1)))
         (local.set $at (i32.add (local.get $at) (i32.const 1)))
         (br $next))
        ;; $four
        (local.set $acc (i32.sub (local.get $acc) (local.get $steps)))
        (br $join))
       ;; $inner
       (local.set $inner (i32.const 64))
       (block $done
         (loop $again
           (block $c (block $b (block $a
             (br_table $a $b $c $a $done (i32.load8_u (local.get $inner))))
             (local.set $acc (i32.add (local.get $acc) (local.get $at)))
             (local.set $inner (i32.add (local.get $inner) (i32.const 1)))
             (br $again))
            (local.set $acc (i32.mul (local.get $acc) (i32.const 3)))
            (local.set $inner (i32.add (local.get $inner) (i32.const 1)))
            (br $again))
           (local.set $acc (i32.add (local.get $acc) (local.get $inner)))
           (local.set $inner (i32.add (local.get $inner) (i32.const 1)))
           (br $again))))
      ;; $join
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (i32.add (i32.mul (local.get $acc) (i32.const 1000)) (i32.add (local.get $steps) (local.get $at)))))

(assert_return (invoke "run" (i32.const 0)) (i32.const 1283026))
(assert_return (invoke "run" (i32.const 1)) (i32.const 1407026))
(assert_return (invoke "run" (i32.const 2)) (i32.const 1371026))
(assert_return (invoke "run" (i32.const 7)) (i32.const 1607026))
(assert_return (invoke "run" (i32.const 12345)) (i32.const 445791026))
