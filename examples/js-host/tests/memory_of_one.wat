(module
  (memory (export "memory") 1)
  (func (export "get_nothing"))
  (func (export "get") (result i32) (i32.load (i32.const 0)))
  (func (export "set") (param i32) (i32.store (i32.const 0) (local.get 0))))
