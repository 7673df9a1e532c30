//! What all stores of a script share, and what Rust needs of the API's JavaScript part.

use crate::items::Item;
use aot_runtime::embed::{Engine, Extern, Module};
use rquickjs::function::Constructor;
use rquickjs::{Array, Class, Ctx, Function, JsLifetime, Object, Result, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What the command line says.
#[derive(Default)]
pub struct Options {
    /// How long the script may run.
    pub timeout: Option<Duration>,
    /// Whether images, whose machine code nobody can check, may be loaded.
    pub trust_images: bool,
    /// Files for imports that are not paths.
    pub imports: HashMap<String, PathBuf>,
}

/// When everything has to be over.
#[derive(Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// How often the engine's clock ticks. It ticks from the beginning: a tick also forgets stores that are gone.
    pub const TICK: Duration = Duration::from_millis(10);

    /// Ticks of the engine's clock after which it is over for sure: the next one can come at once.
    pub fn ticks(self) -> u64 {
        let left = self.0.saturating_duration_since(Instant::now());
        u64::try_from(left.as_nanos() / Deadline::TICK.as_nanos()).unwrap_or(u64::MAX).saturating_add(2)
    }

    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}

/// How much address space and memory stores use, in wasm pages. QuickJS collects garbage when its own heap has grown; this
/// says when it should because of the stores.
#[derive(Default)]
pub struct Accounts {
    live: Cell<u64>,
    since_collection: Cell<u64>,
}

impl Accounts {
    /// What a store without memory counts as.
    pub const STORE_PAGES: u64 = 4;
    /// No collection before that many: 16 MiB.
    const LEAST_PAGES: u64 = 256;

    pub fn add(&self, pages: u64) {
        self.live.set(self.live.get() + pages);
        self.since_collection.set(self.since_collection.get() + pages);
    }

    pub fn remove(&self, pages: u64) {
        self.live.set(self.live.get() - pages);
    }

    /// Whether as much was added as there was after the last collection.
    pub fn is_time(&self) -> bool {
        let since = self.since_collection.get();
        since >= Accounts::LEAST_PAGES && since >= self.live.get() / 2
    }

    pub fn collected(&self) {
        self.since_collection.set(0);
    }
}

/// What belongs to a context.
pub struct Realm<'js> {
    pub engine: Engine,
    pub options: Rc<Options>,
    pub deadline: Option<Deadline>,
    pub accounts: Rc<Accounts>,
    /// Modules by the path that they were imported by, until they are instantiated.
    pub modules: RefCell<HashMap<String, Module>>,
    /// Functions of `webassembly.js`.
    hooks: Object<'js>,
    weak: Function<'js>,
    deref: Function<'js>,
}

// SAFETY: the lifetime is that of the JavaScript values.
unsafe impl<'js> JsLifetime<'js> for Realm<'js> {
    type Changed<'to> = Realm<'to>;
}

impl<'js> Realm<'js> {
    /// Makes the realm of a context, of what `webassembly.js` returns.
    pub fn install(
        ctx: &Ctx<'js>,
        engine: &Engine,
        options: &Rc<Options>,
        deadline: Option<Deadline>,
        hooks: Object<'js>,
    ) -> Result<()> {
        let realm = Realm {
            engine: engine.clone(),
            options: Rc::clone(options),
            deadline,
            accounts: Rc::default(),
            modules: RefCell::default(),
            weak: hooks.get("weak")?,
            deref: hooks.get("deref")?,
            hooks,
        };
        ctx.store_userdata(realm).map(drop).map_err(|_| rquickjs::Error::Unknown)
    }

    /// The realm of a context.
    pub fn of<'a>(ctx: &'a Ctx<'js>) -> rquickjs::runtime::UserDataGuard<'a, Realm<'js>> {
        ctx.userdata().expect("installed before any script runs")
    }

    /// A function of `webassembly.js`.
    pub fn hook(&self, name: &str) -> Result<Function<'js>> {
        self.hooks.get(name)
    }

    /// A class of errors.
    pub fn error_class(&self, name: &str) -> Result<Constructor<'js>> {
        self.hooks.get(name)
    }

    /// The object that scripts see for a memory, table or global.
    pub fn wrap(&self, kind: Extern, item: Class<'js, Item<'js>>) -> Result<Value<'js>> {
        let kind = match kind {
            Extern::Memory(_) => "memory",
            Extern::Table(_) => "table",
            Extern::Global(_) | Extern::Func(_) => "global",
        };
        self.hook("wrap")?.call((kind, item))
    }

    /// A weak reference to an object.
    pub fn weak(&self, value: &Value<'js>) -> Result<Value<'js>> {
        self.weak.call((value.clone(),))
    }

    /// What a weak reference refers to; `undefined` if it is gone.
    pub fn deref(&self, weak: Value<'js>) -> Result<Value<'js>> {
        self.deref.call((weak,))
    }

    /// The elements of anything that can be iterated.
    pub fn list(&self, value: Value<'js>) -> Result<Array<'js>> {
        self.hook("list")?.call((value,))
    }
}
