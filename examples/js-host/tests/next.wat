;; Imports from another module: of the text format here, and by what it exports.
(module
  (import "./memory_of_one.wat" "get" (func $get (result i32)))
  (import "./memory_of_one.wat" "memory" (memory 1))
  (import "./names.wat" "\22quotes\22 and\n\5clines" (func $odd (result i32)))
  (import "./names.wat" "default" (func $default (result i32)))
  (func (export "get") (result i32) (i32.add (call $get) (i32.load (i32.const 0))))
  (func (export "odd") (result i32) (i32.add (call $odd) (call $default))))
