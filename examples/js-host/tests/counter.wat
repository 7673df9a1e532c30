(module
  (import "env" "step" (global $step i32))
  (memory 1)
  (global $count (export "count") (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $count (i32.add (global.get $count) (global.get $step)))
    (i32.store (i32.const 0) (global.get $count))
    (i32.load (i32.const 0))))
