// Runs a WASI command in Node's own WASI, an engine independent of this project:
//   node reference.mjs [--dir HOST::GUEST]… [--env NAME=VALUE]… FILE.wasm [ARGUMENT]…
// `cargo xtask programs --reference` compares, and `--bless` writes, the expected outputs of the corpus with it.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const preopens = {};
const env = {};
while (args[0]?.startsWith("--")) {
  const option = args.shift();
  const value = args.shift();
  if (option === "--dir") {
    const [host, guest = host] = value.split("::");
    preopens[guest] = host;
  } else if (option === "--env") {
    const equals = value.indexOf("=");
    env[value.slice(0, equals)] = value.slice(equals + 1);
  } else {
    throw new Error(`unknown option ${option}`);
  }
}

const [file, ...guestArgs] = args;
const wasi = new WASI({
  version: "preview1",
  args: [basename(file), ...guestArgs],
  env,
  preopens,
  returnOnExit: true,
});
const module = await WebAssembly.compile(await readFile(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
process.exitCode = wasi.start(instance);
