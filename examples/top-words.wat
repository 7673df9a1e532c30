;; Counts the words of standard input and prints the most frequent ones with their counts:
;;
;;     aot build examples/top-words.wat -o top-words
;;     ./top-words 10 < LICENSE
;;
;; A word is a run of ASCII letters, digits and bytes above 127; letters count in lower case. Words of equal
;; frequency come in the order of their bytes. The argument is how many to print, 10 by default.
;;
;; Memory, in bytes:
;;        0   scratch: an iovec (pointer, length) at 0, the count of bytes read or written at 8
;;       16   a number being printed, digits from the end
;;     1024   arguments (argv), then their text from 2048 on
;;     8192   the input buffer, 56 KiB
;;    65536   hash table: 65536 slots of 4 bytes, each the address of an entry or 0
;;   327680   entries and words, allocated one after the other; memory grows on demand
;;
;; An entry is { count: i32, length of the word: i32, bytes of the word }, aligned to 4.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  (memory (export "memory") 6)
  (global $table i32 (i32.const 65536))
  (global $slots i32 (i32.const 65536))
  (global $buffer i32 (i32.const 8192))
  (global $buffer_size i32 (i32.const 57344))

  ;; The first free byte, and the word that is being read: its bytes lie where its entry's word will be.
  (global $free (mut i32) (i32.const 327680))
  (global $word_len (mut i32) (i32.const 0))
  (global $words (mut i32) (i32.const 0))

  ;; Memory up to an address, growing if need be; traps when there is no more.
  (func $reserve (param $end i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub
        (i32.shr_u (i32.add (local.get $end) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        ;; At least a megabyte at a time.
        (if (i32.lt_s (local.get $missing) (i32.const 16)) (then (local.set $missing (i32.const 16))))
        (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then unreachable)))))

  ;; The byte as it counts in a word (letters in lower case), or 0 if it ends one.
  (func $letter (param $byte i32) (result i32)
    (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 65)) (i32.const 26)) ;; A to Z
      (then (return (i32.or (local.get $byte) (i32.const 32)))))
    (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26)) ;; a to z
      (then (return (local.get $byte))))
    (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 48)) (i32.const 10)) ;; 0 to 9
      (then (return (local.get $byte))))
    (select (local.get $byte) (i32.const 0) (i32.ge_u (local.get $byte) (i32.const 128))))

  ;; FNV-1a.
  (func $hash (param $at i32) (param $len i32) (result i32)
    (local $end i32)
    (local $hash i32)
    (local.set $hash (i32.const 0x811c9dc5))
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (loop $next
      (local.set $hash
        (i32.mul (i32.xor (local.get $hash) (i32.load8_u (local.get $at))) (i32.const 0x01000193)))
      (br_if $next
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
    (local.get $hash))

  ;; Less than, equal or greater than 0, as the bytes at $a come before, are the same as or come after those at $b.
  (func $compare (param $a i32) (param $a_len i32) (param $b i32) (param $b_len i32) (result i32)
    (local $i i32)
    (local $difference i32)
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $i) (local.get $a_len)))
        (br_if $end (i32.ge_u (local.get $i) (local.get $b_len)))
        (local.set $difference
          (i32.sub
            (i32.load8_u (i32.add (local.get $a) (local.get $i)))
            (i32.load8_u (i32.add (local.get $b) (local.get $i)))))
        (if (local.get $difference) (then (return (local.get $difference))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.sub (local.get $a_len) (local.get $b_len)))

  ;; Counts the word that was read: finds its entry by linear probing, or makes it one.
  (func $end_word
    (local $slot i32)
    (local $entry i32)
    (local $word i32)
    (if (i32.eqz (global.get $word_len)) (then (return)))
    (local.set $word (i32.add (global.get $free) (i32.const 8)))
    (local.set $slot (call $hash (local.get $word) (global.get $word_len)))
    (block $done
      (loop $probe
        (local.set $slot (i32.and (local.get $slot) (i32.sub (global.get $slots) (i32.const 1))))
        (local.set $entry
          (i32.load (i32.add (global.get $table) (i32.shl (local.get $slot) (i32.const 2)))))
        (if (i32.eqz (local.get $entry))
          (then
            ;; A new word: its bytes are already in place. One slot stays free, or probing would not end.
            (global.set $words (i32.add (global.get $words) (i32.const 1)))
            (if (i32.ge_u (global.get $words) (global.get $slots)) (then unreachable))
            (i32.store
              (i32.add (global.get $table) (i32.shl (local.get $slot) (i32.const 2)))
              (global.get $free))
            (i32.store (global.get $free) (i32.const 1))
            (i32.store offset=4 (global.get $free) (global.get $word_len))
            (global.set $free
              (i32.and
                (i32.add (i32.add (local.get $word) (global.get $word_len)) (i32.const 3))
                (i32.const -4)))
            (br $done)))
        (if
          (i32.eqz
            (call $compare
              (local.get $word) (global.get $word_len)
              (i32.add (local.get $entry) (i32.const 8)) (i32.load offset=4 (local.get $entry))))
          (then
            (i32.store (local.get $entry) (i32.add (i32.load (local.get $entry)) (i32.const 1)))
            (br $done)))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $probe)))
    (global.set $word_len (i32.const 0)))

  ;; Reads all of standard input, counting words; a word may go on from one buffer to the next.
  (func $count_words
    (local $at i32)
    (local $end i32)
    (local $byte i32)
    (block $end_of_input
      (loop $read
        (i32.store (i32.const 0) (global.get $buffer))
        (i32.store (i32.const 4) (global.get $buffer_size))
        (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
          (then (call $proc_exit (i32.const 1))))
        (br_if $end_of_input (i32.eqz (i32.load (i32.const 8))))
        (local.set $at (global.get $buffer))
        (local.set $end (i32.add (global.get $buffer) (i32.load (i32.const 8))))
        (loop $next
          (local.set $byte (call $letter (i32.load8_u (local.get $at))))
          (if (local.get $byte)
            (then
              (call $reserve (i32.add (i32.add (global.get $free) (global.get $word_len)) (i32.const 16)))
              (i32.store8 offset=8
                (i32.add (global.get $free) (global.get $word_len))
                (local.get $byte))
              (global.set $word_len (i32.add (global.get $word_len) (i32.const 1))))
            (else (call $end_word)))
          (br_if $next
            (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
        (br $read)))
    (call $end_word))

  ;; Whether entry $a is to be printed before $b.
  (func $is_before (param $a i32) (param $b i32) (result i32)
    (local $difference i32)
    (local.set $difference (i32.sub (i32.load (local.get $b)) (i32.load (local.get $a))))
    (if (i32.eqz (local.get $difference))
      (then
        (local.set $difference
          (call $compare
            (i32.add (local.get $a) (i32.const 8)) (i32.load offset=4 (local.get $a))
            (i32.add (local.get $b) (i32.const 8)) (i32.load offset=4 (local.get $b))))))
    (i32.lt_s (local.get $difference) (i32.const 0)))

  ;; Takes the entry that comes first out of the table; 0 if there is none left.
  (func $take_first (result i32)
    (local $slot i32)
    (local $end i32)
    (local $entry i32)
    (local $best i32)
    (local $best_slot i32)
    (local.set $slot (global.get $table))
    (local.set $end (i32.add (global.get $table) (i32.shl (global.get $slots) (i32.const 2))))
    (loop $next
      (local.set $entry (i32.load (local.get $slot)))
      (if (local.get $entry)
        (then
          (if
            (if (result i32) (local.get $best)
              (then (call $is_before (local.get $entry) (local.get $best)))
              (else (i32.const 1)))
            (then
              (local.set $best (local.get $entry))
              (local.set $best_slot (local.get $slot))))))
      (br_if $next
        (i32.lt_u (local.tee $slot (i32.add (local.get $slot) (i32.const 4))) (local.get $end))))
    (if (local.get $best) (then (i32.store (local.get $best_slot) (i32.const 0))))
    (local.get $best))

  ;; Writes all of the bytes to standard output.
  (func $write (param $at i32) (param $len i32)
    (local $written i32)
    (loop $again
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (local.get $len))
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 1))))
      (local.set $written (i32.load (i32.const 8)))
      (local.set $at (i32.add (local.get $at) (local.get $written)))
      (br_if $again
        (local.tee $len (i32.sub (local.get $len) (local.get $written))))))

  ;; Writes a number, right-aligned in eight columns, and a space.
  (func $write_number (param $number i32)
    (local $at i32)
    (i64.store (i32.const 16) (i64.const 0x2020202020202020))
    (i64.store (i32.const 24) (i64.const 0x2020202020202020))
    (local.set $at (i32.const 30))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8
        (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (br_if $next (local.tee $number (i32.div_u (local.get $number) (i32.const 10)))))
    (if (i32.gt_u (local.get $at) (i32.const 22)) (then (local.set $at (i32.const 22))))
    (call $write (local.get $at) (i32.sub (i32.const 31) (local.get $at))))

  ;; The number that the first argument is, or 10.
  (func $limit (result i32)
    (local $at i32)
    (local $digit i32)
    (local $limit i32)
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (if
      (i32.or
        (i32.or
          (i32.lt_u (i32.load (i32.const 0)) (i32.const 2))
          (i32.gt_u (i32.load (i32.const 0)) (i32.const 256)))
        (i32.gt_u (i32.load (i32.const 4)) (i32.const 6144)))
      (then (return (i32.const 10))))
    (drop (call $args_get (i32.const 1024) (i32.const 2048)))
    (local.set $at (i32.load (i32.const 1028)))
    (block $end
      (loop $next
        (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
        (br_if $end (i32.gt_u (local.get $digit) (i32.const 9)))
        (local.set $limit (i32.add (i32.mul (local.get $limit) (i32.const 10)) (local.get $digit)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $limit))

  (data (i32.const 32) "\n")

  (func (export "_start")
    (local $limit i32)
    (local $entry i32)
    (local.set $limit (call $limit))
    (call $count_words)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $limit)))
        (local.set $limit (i32.sub (local.get $limit) (i32.const 1)))
        (br_if $done (i32.eqz (local.tee $entry (call $take_first))))
        (call $write_number (i32.load (local.get $entry)))
        (call $write (i32.add (local.get $entry) (i32.const 8)) (i32.load offset=4 (local.get $entry)))
        (call $write (i32.const 32) (i32.const 1))
        (br $next)))))
