;; What `calls.c` calls, and what calls it.
(module
    (import "h" "add" (func $add (param i32 i32) (result i32)))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (memory 1)
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "loop") (param $n i32) (result i32) (local $sum i32)
        (loop
            (local.set $sum (call $add (local.get $sum) (local.get $n)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))
