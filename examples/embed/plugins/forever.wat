;; A plugin that never ends by itself: in a loop, or by calling itself.
(module
  (func (export "loop") (loop $again (br $again)))
  (func $deeper (export "recursion") (result i32)
    (i32.add (call $deeper) (i32.const 1))))
