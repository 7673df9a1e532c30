;; Calls the program before anybody has the instance.
(module
  (import "env" "start" (func $start (param i32)))
  (memory (export "memory") 1 2)
  (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $main (call $start (i32.const 5)))
  (start $main))
