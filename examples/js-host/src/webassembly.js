// The API that scripts see: `WebAssembly` as in browsers and Node, `console`, `performance.now`, and the module `aot:host`.
// Everything is built on the functions of `native.rs`, and returns what `realm.rs` needs.
(function (native) {
  "use strict";
  // Whoever has it may make an object of something that exists.
  const existing = Symbol();

  const errorClass = (name) => {
    const Class = { [name]: class extends Error {} }[name];
    Object.defineProperty(Class.prototype, "name", { value: name, writable: true, configurable: true });
    return Class;
  };
  const CompileError = errorClass("CompileError");
  const LinkError = errorClass("LinkError");
  const RuntimeError = errorClass("RuntimeError");

  // A number of pages or elements.
  const count = (value, what) => {
    const number = Number(value);
    if (!(number > -1 && number < 2 ** 32)) throw new TypeError(`${what} has to be a number from 0 to 2^32 - 1`);
    return Math.trunc(number);
  };

  const limits = (descriptor, most) => {
    if (Object(descriptor) !== descriptor) throw new TypeError("a descriptor has to be an object");
    const initial = count(descriptor.initial, "`initial`");
    const maximum = descriptor.maximum === undefined ? undefined : count(descriptor.maximum, "`maximum`");
    if (initial > (maximum ?? most)) throw new RangeError("`initial` is larger than it may be");
    return [initial, maximum];
  };

  // A memory, table or global. One that a script makes belongs to no store before it is used: it then gets one of its own,
  // or that of the instance that imports it.
  class Item {
    #native;
    #make;

    constructor(make, handle) {
      this.#make = make;
      this.#native = handle;
    }

    static handle(item, store) {
      if (item.#native === undefined) {
        item.#native = item.#make(store ?? native.newStore());
        native.keep(item.#native, item);
      }
      return item.#native;
    }

    // Nothing if it has none yet.
    static store(item) {
      return item.#native === undefined ? undefined : native.storeOf(item.#native);
    }
  }

  const handleOf = Item.handle;
  const storeOf = Item.store;
  delete Item.handle;
  delete Item.store;

  class Memory extends Item {
    constructor(descriptor, handle) {
      if (descriptor === existing) return void super(undefined, handle);
      const [initial, maximum] = limits(descriptor, 65536);
      super((store) => native.newMemory(store, initial, maximum));
    }

    get buffer() {
      return native.memoryBuffer(handleOf(this));
    }

    grow(pages) {
      return native.memoryGrow(handleOf(this), count(pages, "the number of pages"));
    }
  }

  class Table extends Item {
    constructor(descriptor, handle) {
      if (descriptor === existing) return void super(undefined, handle);
      const [initial, maximum] = limits(descriptor, 2 ** 32 - 1);
      const element = native.typeName(String(descriptor.element));
      if (element !== "anyfunc" && element !== "externref") throw new TypeError("the elements of a table are of the type `anyfunc` or `externref`");
      const init = handle;
      super((store) => native.newTable(store, element, initial, maximum, init));
    }

    get length() {
      return native.tableLength(handleOf(this));
    }

    get(index) {
      return native.tableGet(handleOf(this), count(index, "the index"));
    }

    set(index, value) {
      native.tableSet(handleOf(this), count(index, "the index"), value);
    }

    grow(elements, value) {
      return native.tableGrow(handleOf(this), count(elements, "the number of elements"), value);
    }
  }

  class Global extends Item {
    constructor(descriptor, handle) {
      if (descriptor === existing) return void super(undefined, handle);
      if (Object(descriptor) !== descriptor) throw new TypeError("a descriptor has to be an object");
      const type = native.typeName(String(descriptor.value));
      const mutable = Boolean(descriptor.mutable);
      const value = native.toType(type, handle);
      super((store) => native.newGlobal(store, type, mutable, value));
    }

    get value() {
      return native.globalGet(handleOf(this));
    }

    set value(value) {
      native.globalSet(handleOf(this), value);
    }

    valueOf() {
      return this.value;
    }
  }

  const bytesOf = (source) => {
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    throw new TypeError("a module is compiled from an ArrayBuffer or a view of one");
  };

  class Module {
    #code;

    constructor(source, code) {
      this.#code = source === existing ? code : native.compile(bytesOf(source));
    }

    static code(module) {
      if (Object(module) !== module || !(#code in module)) throw new TypeError("this is no WebAssembly.Module");
      return module.#code;
    }

    static imports(module) {
      return native.imports(codeOf(module)).map(([module, name, kind]) => ({ module, name, kind }));
    }

    static exports(module) {
      return native.exports(codeOf(module)).map(([name, kind]) => ({ name, kind }));
    }
  }
  const codeOf = Module.code;
  delete Module.code;

  const classes = { memory: Memory, table: Table, global: Global };

  // What an import is bound to: a function or an item.
  const check = (module, name, kind, global, value) => {
    const wrong = (what) => new LinkError(`import \`${module}\` \`${name}\`: ${what}`);
    if (kind === "function") {
      if (typeof value !== "function") throw wrong(`a function is wanted, not ${describe(value)}`);
      return value;
    }
    if (kind !== "global") {
      if (!(value instanceof classes[kind])) throw wrong(`a WebAssembly.${classes[kind].name} is wanted, not ${describe(value)}`);
      return value;
    }
    const [type, mutable] = global;
    if (value instanceof Global) {
      if (storeOf(value) === undefined) return value;
      // What cannot change can be copied, so it may be of any store.
      const [found, changes] = native.globalType(handleOf(value));
      return mutable || changes || found !== type ? value : new Global({ value: type }, value.value);
    }
    if (mutable) throw wrong(`a WebAssembly.Global is wanted, since it can change, not ${describe(value)}`);
    const fits = { i32: "number", f32: "number", f64: "number", i64: "bigint", v128: "nothing" }[type];
    if (fits !== undefined && typeof value !== fits) throw wrong(`a ${fits} or a WebAssembly.Global is wanted, not ${describe(value)}`);
    return new Global({ value: type }, value);
  };

  const describe = (value) => (value === undefined || value === null ? String(value) : `a value of type ${typeof value}`);

  // Modules that were imported live as long as the script. They share a store, so that calls between them are direct.
  let shared;

  // The exports of a new instance; `find(module, name)` is what an import is.
  const instantiate = (code, find, isImported) => {
    const values = native.imports(code).map(([module, name, kind, global]) => check(module, name, kind, global, find(module, name)));
    let home;
    for (const store of values.map((value) => (value instanceof Item ? storeOf(value) : undefined))) {
      if (store === undefined || store === home) continue;
      if (home !== undefined) {
        throw new LinkError("memories, tables and globals that a module imports have to belong together: make them by one instance, or do not use them before the first instance imports them");
      }
      home = store;
    }
    home ??= isImported ? (shared ??= native.newStore()) : native.newStore();
    const items = values.map((value) => (value instanceof Item ? handleOf(value, home) : value));
    return native.instantiate(home, code, items);
  };

  class Instance {
    #exports = Object.create(null);

    constructor(module, imports) {
      const code = codeOf(module);
      if (imports !== undefined && Object(imports) !== imports) throw new TypeError("imports have to be an object");
      const find = (module, name) => {
        const names = imports?.[module];
        if (Object(names) !== names) throw new TypeError(`import \`${module}\` \`${name}\`: the imports have no object \`${module}\``);
        return names[name];
      };
      for (const [name, value] of instantiate(code, find, false)) {
        Object.defineProperty(this.#exports, name, { value, enumerable: true });
      }
      Object.freeze(this.#exports);
    }

    get exports() {
      return this.#exports;
    }
  }

  const WebAssembly = {
    Module, Instance, Memory, Table, Global, CompileError, LinkError, RuntimeError,

    validate(source) {
      const bytes = bytesOf(source);
      try {
        native.compile(bytes);
        return true;
      } catch (error) {
        if (error instanceof CompileError) return false;
        throw error;
      }
    },

    async compile(source) {
      return new Module(source);
    },

    async instantiate(source, imports) {
      if (source instanceof Module) return new Instance(source, imports);
      const module = new Module(source);
      return { module, instance: new Instance(module, imports) };
    },
  };
  Object.defineProperty(WebAssembly, Symbol.toStringTag, { value: "WebAssembly", configurable: true });
  for (const Class of [Module, Instance, Memory, Table, Global]) {
    Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: `WebAssembly.${Class.name}`, configurable: true });
  }

  const text = (value) => {
    if (typeof value === "string") return value;
    if (typeof value === "bigint") return `${value}n`;
    if (Object.is(value, -0)) return "-0";
    if (value instanceof Error) return report(value);
    if (Object(value) !== value || typeof value === "function") return String(value);
    try {
      return JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}n` : part)) ?? String(value);
    } catch {
      return String(value);
    }
  };
  // An error with its stack, as a text.
  const report = (error) => {
    try {
      if (!(error instanceof Error)) return text(error);
      const stack = String(error.stack ?? "").trimEnd();
      return stack === "" ? String(error) : `${error}\n${stack}`;
    } catch {
      return "an error that cannot be printed";
    }
  };
  const printer = (toStderr) => (...values) => native.print(values.map(text).join(" "), toStderr);

  const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  define("WebAssembly", WebAssembly);
  define("console", { log: printer(false), info: printer(false), warn: printer(true), error: printer(true) });
  define("performance", { now: native.now });

  return {
    CompileError, LinkError, RuntimeError, report,
    wrap: (kind, handle) => new classes[kind](existing, handle),
    weak: (value) => new WeakRef(value),
    deref: (weak) => weak.deref(),
    list: (value) => {
      if (Object(value) !== value) throw new TypeError("an imported function with several results has to return them as an array");
      return [...value];
    },
    // The exports of the instance of an imported module, in order; `modules` are what its imports were resolved to.
    evaluate: (path, modules) => {
      const code = native.imported(path);
      const names = [...new Set(native.imports(code).map(([module]) => module))];
      const find = (module, name) => modules[names.indexOf(module)][name];
      return instantiate(code, find, true).map(([, value]) => value);
    },
    load: (base, specifier) => new Module(existing, native.load(base, String(specifier))),
    readFile: (base, specifier) => native.readFile(base, String(specifier)),
    boolean: native.boolean,
  };
})
