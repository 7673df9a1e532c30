(module
  (func (export "\22quotes\22 and\n\5clines") (result i32) (i32.const 1))
  (func (export "default") (result i32) (i32.const 2))
  (func (export "then") (result i32) (i32.const 3))
  (func (export "__proto__") (result i32) (i32.const 4))
  (func (export "") (result i32) (i32.const 5))
  (func (export "\e2\98\95") (result i32) (i32.const 6))
  (func (export "\e2\80\a8*/") (result i32) (i32.const 7)))
