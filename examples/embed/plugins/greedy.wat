;; A plugin that takes all the memory it can get, and gives the number of its pages.
(module
  (memory 1)
  (func (export "grow") (result i32)
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.size)))
