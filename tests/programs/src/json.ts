// Reads JSON from standard input and writes it back without white space; `-s` prints what it consists of.
// The parser is the package assemblyscript-json, which nobody here wrote.

import { JSON } from "assemblyscript-json/assembly";

function readAll(): string {
  const buffer = new ArrayBuffer(65536);
  const chunks = new Array<u8>();
  while (true) {
    const length = process.stdin.read(buffer);
    if (length <= 0) break;
    const bytes = Uint8Array.wrap(buffer, 0, length);
    for (let i = 0; i < length; i++) chunks.push(bytes[i]);
  }
  return String.UTF8.decodeUnsafe(chunks.dataStart, chunks.length);
}

class Counts {
  objects: i32 = 0;
  arrays: i32 = 0;
  strings: i32 = 0;
  numbers: i32 = 0;
  others: i32 = 0;
  sum: f64 = 0;
  depth: i32 = 0;
}

function count(value: JSON.Value, counts: Counts, depth: i32): void {
  if (depth > counts.depth) counts.depth = depth;
  if (value.isObj) {
    counts.objects++;
    const members = changetype<JSON.Obj>(value);
    const keys = members.keys;
    for (let i = 0; i < keys.length; i++) {
      const member = members.get(keys[i]);
      if (member != null) count(member, counts, depth + 1);
    }
  } else if (value.isArr) {
    counts.arrays++;
    const items = changetype<JSON.Arr>(value).valueOf();
    for (let i = 0; i < items.length; i++) count(items[i], counts, depth + 1);
  } else if (value.isString) {
    counts.strings++;
  } else if (value.isNum) {
    counts.numbers++;
    counts.sum += changetype<JSON.Num>(value).valueOf();
  } else if (value.isFloat) {
    counts.numbers++;
    counts.sum += changetype<JSON.Float>(value).valueOf();
  } else if (value.isInteger) {
    counts.numbers++;
    counts.sum += f64(changetype<JSON.Integer>(value).valueOf());
  } else {
    counts.others++;
  }
}

const value = JSON.parse(readAll());
if (process.argv.length > 1 && process.argv[1] == "-s") {
  const counts = new Counts();
  count(value, counts, 1);
  console.log(
    `objects ${counts.objects} arrays ${counts.arrays} strings ${counts.strings} numbers ${counts.numbers} others ${counts.others} depth ${counts.depth} sum ${counts.sum}`,
  );
} else {
  console.log(value.stringify());
}
