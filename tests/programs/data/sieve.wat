;; The number of primes below a bound: folded and flat expressions, a table, a data segment, an import.
(module $sieve
  (import "env" "print" (func $print (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 65000) "primes\00\ff\n")
  (type $predicate (func (param i32) (result i32)))
  (table funcref (elem $is_prime $is_composite))
  (global $count (mut i32) (i32.const 0))
  (func $is_prime (type $predicate) (i32.eqz (i32.load8_u (local.get 0))))
  (func $is_composite (param $n i32) (result i32)
    local.get $n
    i32.load8_u offset=0 align=1)
  (func $mark (param $n i32) (param $bound i32)
    (local $multiple i32)
    (local.set $multiple (i32.mul (local.get $n) (local.get $n)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $multiple) (local.get $bound)))
        (i32.store8 (local.get $multiple) (i32.const 1))
        (local.set $multiple (i32.add (local.get $multiple) (local.get $n)))
        (br $next))))
  (func (export "count") (param $bound i32) (result i32)
    (local $n i32)
    (local.set $n (i32.const 2))
    (loop $next
      (if (call_indirect (type $predicate) (local.get $n) (i32.const 0))
        (then
          (call $mark (local.get $n) (local.get $bound))
          (global.set $count (i32.add (global.get $count) (i32.const 1)))))
      (br_if $next
        (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $bound))))
    (call $print (global.get $count))
    (global.get $count))
  (func (export "half") (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0x1p-1))))
