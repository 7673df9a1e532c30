(module
  (import "./cycle-b.js" "twice" (func $twice (param i32) (result i32)))
  (import "./cycle-b.js" "started" (func $started))
  (func (export "answer") (result i32) (i32.const 42))
  (func (export "four_times") (param i32) (result i32) (call $twice (call $twice (local.get 0))))
  (start $started))
