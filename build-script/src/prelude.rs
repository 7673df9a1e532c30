use ::std::any::Any;
use ::std::error::Error;
use ::std::ffi::{CStr, CString, c_char, c_int, c_void};
use ::std::fmt;
use ::std::marker::PhantomData;
use ::std::num::NonZeroUsize;
use ::std::ops::{Deref, DerefMut};
use ::std::os::fd::{AsRawFd as _, OwnedFd};
use ::std::os::unix::ffi::OsStrExt as _;
use ::std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use ::std::path::{Path, PathBuf};
use ::std::ptr::{self, NonNull};
use ::std::sync::atomic::{AtomicU64, Ordering};
use ::std::sync::{Arc, Mutex, PoisonError};

/// Why a function of the program failed that the guest has called: any error.
pub type HostError = Box<dyn Error + Send + Sync>;

/// Why a call of the guest did not return.
#[derive(Debug)]
pub struct Trap {
    code: TrapCode,
    message: String,
    backtrace: String,
    exit_status: Option<u32>,
    source: Option<HostError>,
}

impl Trap {
    /// What kind of trap it is.
    pub fn code(&self) -> TrapCode {
        self.code
    }

    /// The functions of the guest that were on the stack, the innermost first, a line for each; may be empty.
    pub fn backtrace(&self) -> &str {
        &self.backtrace
    }

    /// The status with which the guest ended itself (`proc_exit`), also if an imported function called that guest.
    pub fn exit_status(&self) -> Option<u32> {
        let inner = self.source.as_ref().and_then(|source| source.downcast_ref::<Trap>());
        self.exit_status.or_else(|| inner.and_then(Trap::exit_status))
    }

    /// The error of the imported function that has failed.
    pub fn into_source(self) -> Option<HostError> {
        self.source
    }

    fn misuse(message: String) -> Trap {
        Trap { code: TrapCode::Error, message, backtrace: String::new(), exit_status: None, source: None }
    }
}

/// The reason in one line.
impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Trap {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

/// An offset and a length that are not in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// In the memory.
    pub offset: u32,
    /// Bytes.
    pub len: usize,
    /// Bytes of the memory.
    pub size: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutOfBounds { offset, len, size } = self;
        write!(f, "{len} bytes at {offset:#x} are not in a memory of {size:#x} bytes")
    }
}

impl Error for OutOfBounds {}

/// A reference of the host: any number, which the guest can only keep and give back. 0 is `null`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ExternRef(pub usize);

/// A reference to a function of a guest, for this guest only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FuncRef {
    raw: NonZeroUsize,
    instance: u64,
}

/// What an instance may use. Without options, a guest has 512 KiB of stack, and sees no file, argument or variable.
#[derive(Debug, Default)]
pub struct Options {
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    dirs: Vec<(PathBuf, String)>,
    inherits: bool,
    streams: [Option<OwnedFd>; 3],
    max_memory: Option<u64>,
    max_table: Option<u64>,
    max_stack: Option<usize>,
}

impl Options {
    /// None yet.
    pub fn new() -> Options {
        Options::default()
    }

    /// Adds an argument, of which the first is the name of the program.
    pub fn arg(mut self, text: impl AsRef<[u8]>) -> Options {
        self.args.push(text.as_ref().to_vec());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Options {
        self.env.push([name.as_bytes(), b"=", value.as_bytes()].concat());
        self
    }

    /// Gives the guest a directory, by another name. It is opened when an instance is made.
    pub fn dir(mut self, host: impl AsRef<Path>, guest: &str) -> Options {
        self.dirs.push((host.as_ref().to_owned(), String::from(guest)));
        self
    }

    /// Gives the guest the standard streams of the program, where nothing else is set.
    pub fn inherit_stdio(mut self) -> Options {
        self.inherits = true;
        self
    }

    /// What the guest reads from its standard input: a file, or an end of a pipe or socket.
    pub fn stdin(self, file: impl Into<OwnedFd>) -> Options {
        self.stream(0, file.into())
    }

    /// Where the standard output of the guest goes.
    pub fn stdout(self, file: impl Into<OwnedFd>) -> Options {
        self.stream(1, file.into())
    }

    /// Where the standard error of the guest goes.
    pub fn stderr(self, file: impl Into<OwnedFd>) -> Options {
        self.stream(2, file.into())
    }

    fn stream(mut self, number: usize, file: OwnedFd) -> Options {
        self.streams[number] = Some(file);
        self
    }

    /// The most bytes that each memory may have.
    pub fn max_memory(mut self, bytes: u64) -> Options {
        self.max_memory = Some(bytes);
        self
    }

    /// The most elements that each table may have.
    pub fn max_table(mut self, elements: u64) -> Options {
        self.max_table = Some(elements);
        self
    }

    /// The most bytes of the caller's stack that the guest may use.
    pub fn max_stack(mut self, bytes: usize) -> Options {
        self.max_stack = Some(bytes);
        self
    }

    fn to_raw(&self) -> Result<RawOptions, Trap> {
        // SAFETY: it takes nothing.
        let raw = RawOptions(unsafe { ffi::aot_options_new() });
        let RawOptions(options) = raw;
        for arg in &self.args {
            let arg = text("an argument", arg)?;
            // SAFETY: the options exist, and the text is a string; so below.
            unsafe { ffi::aot_options_arg(options, arg.as_ptr()) };
        }
        for variable in &self.env {
            let variable = text("an environment variable", variable)?;
            // SAFETY: see above.
            unsafe { ffi::aot_options_env(options, variable.as_ptr()) };
        }
        for (host, guest) in &self.dirs {
            let host = text("the name of a directory", host.as_os_str().as_bytes())?;
            let guest = text("the name of a directory", guest.as_bytes())?;
            // SAFETY: see above.
            unsafe { ffi::aot_options_dir(options, host.as_ptr(), guest.as_ptr()) };
        }
        if self.inherits {
            // SAFETY: see above.
            unsafe { ffi::aot_options_inherit_stdio(options) };
        }
        for (number, stream) in (0..).zip(&self.streams) {
            if let Some(stream) = stream {
                // SAFETY: see above; the file is open as long as these options exist.
                unsafe { ffi::aot_options_stream(options, number, stream.as_raw_fd()) };
            }
        }
        if let Some(bytes) = self.max_memory {
            // SAFETY: see above.
            unsafe { ffi::aot_options_max_memory(options, bytes) };
        }
        if let Some(elements) = self.max_table {
            // SAFETY: see above.
            unsafe { ffi::aot_options_max_table(options, elements) };
        }
        if let Some(bytes) = self.max_stack {
            // SAFETY: see above.
            unsafe { ffi::aot_options_max_stack(options, bytes) };
        }
        Ok(raw)
    }
}

fn text(what: &str, bytes: &[u8]) -> Result<CString, Trap> {
    let is_nul = |_| Trap::misuse(format!("{what} has a NUL byte in it: {:?}", String::from_utf8_lossy(bytes)));
    CString::new(bytes).map_err(is_nul)
}

struct RawOptions(*mut c_void);

impl Drop for RawOptions {
    fn drop(&mut self) {
        // SAFETY: they are used no more.
        unsafe { ffi::aot_options_delete(self.0) };
    }
}

/// What belongs to an instance.
struct State<H> {
    /// Null until there is an instance.
    raw: *mut c_void,
    /// Which one it is, in this process.
    number: u64,
    host: H,
    /// Why an imported function has failed, for the call of the guest that ends because of it.
    error: Option<HostError>,
    panic: Option<Box<dyn Any + Send>>,
    interrupt: Arc<Mutex<Interruptible>>,
}

struct Interruptible(*mut c_void);

// SAFETY: any thread may interrupt an instance, and the one that deletes it sets this to null before.
unsafe impl Send for Interruptible {}

/// Stops a guest, from any thread.
#[derive(Clone)]
pub struct InterruptHandle(Arc<Mutex<Interruptible>>);

impl InterruptHandle {
    /// Makes the guest trap with [`TrapCode::Interrupt`] at the next function that it calls, and, in modules built with
    /// `interruptible`, at the next round of a loop. If it is not running, the next call does. Does nothing once the
    /// instance has been dropped.
    pub fn interrupt(&self) {
        let Interruptible(raw) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !raw.is_null() {
            // SAFETY: the lock is still held, so nobody deletes the instance.
            unsafe { ffi::aot_instance_interrupt(raw) };
        }
    }
}

/// A guest: what can be done with an instance, by its owner and by functions that it has called.
pub struct Guest<'a, H = ()> {
    /// Of an instance that exists, and that nobody else uses as long as this is borrowed.
    state: NonNull<State<H>>,
    marker: PhantomData<(&'a mut (), *mut H)>,
}

/// An instance of the module: it has its own memories, tables and globals, and `H` is what its imports use.
pub struct Instance<H = ()> {
    guest: Guest<'static, H>,
}

// SAFETY: one thread at a time uses an instance; of what belongs to it, only `H` could be bound to a thread.
unsafe impl<H: Send> Send for Instance<H> {}

impl<H> Deref for Instance<H> {
    type Target = Guest<'static, H>;

    fn deref(&self) -> &Self::Target {
        &self.guest
    }
}

impl<H> DerefMut for Instance<H> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guest
    }
}

impl<H: fmt::Debug> fmt::Debug for Instance<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("host", self.host()).finish_non_exhaustive()
    }
}

impl<H> Drop for Instance<H> {
    fn drop(&mut self) {
        // SAFETY: made by `instantiate`, and used no more.
        let state = unsafe { Box::from_raw(self.guest.state.as_ptr()) };
        *state.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Interruptible(ptr::null_mut());
        // SAFETY: the instance is not running, since it is not borrowed.
        unsafe { ffi::aot_instance_delete(state.raw) };
    }
}

impl<H> Instance<H> {
    /// # Safety
    /// The functions are those that the module imports, and for this `H`.
    unsafe fn instantiate(imports: &[*const c_void], host: H, options: &Options) -> Result<Instance<H>, Trap> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let options = options.to_raw()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let interrupt = Arc::new(Mutex::new(Interruptible(ptr::null_mut())));
        let state = State { raw: ptr::null_mut(), number, host, error: None, panic: None, interrupt };
        let state = NonNull::from(Box::leak(Box::new(state)));
        // From now on, it is dropped in any case.
        let mut instance = Instance { guest: Guest { state, marker: PhantomData } };
        let mut trap = ptr::null_mut();
        // SAFETY: the module and its number belong together; the caller vouches for the functions. The state outlives
        // the instance.
        let raw = unsafe {
            ffi::aot_instance_new(
                &raw const ffi::MODULE,
                INTERFACE,
                imports.as_ptr(),
                imports.len(),
                state.as_ptr().cast(),
                options.0,
                0,
                &mut trap,
            )
        };
        // SAFETY: the state is the one made above; functions that the module has called are done with it. They have set
        // the pointer, also if there is no instance now.
        unsafe { (*state.as_ptr()).raw = raw };
        if raw.is_null() {
            return Err(instance.guest.trapped(trap));
        }
        // SAFETY: as above.
        let interrupt = unsafe { &(*state.as_ptr()).interrupt };
        *interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Interruptible(raw);
        Ok(instance)
    }
}

impl<H> Guest<'_, H> {
    /// What the imports of this instance use.
    pub fn host(&self) -> &H {
        // SAFETY: the state exists, and calls of the guest, which use it too, need a mutable borrow.
        unsafe { &(*self.state.as_ptr()).host }
    }

    /// The same, to change it.
    pub fn host_mut(&mut self) -> &mut H {
        // SAFETY: the state exists, and is borrowed by nobody else.
        unsafe { &mut (*self.state.as_ptr()).host }
    }

    /// A handle by which other threads can stop the guest. While the start function runs, it does nothing.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        // SAFETY: the state exists.
        InterruptHandle(unsafe { (*self.state.as_ptr()).interrupt.clone() })
    }

    fn raw(&self) -> *mut c_void {
        // SAFETY: the state exists.
        unsafe { (*self.state.as_ptr()).raw }
    }

    /// What a call that did not return is for its caller. Panics go on here: no code of the guest is on the stack above
    /// the function that has panicked.
    #[cold]
    fn trapped(&mut self, raw: *mut c_void) -> Trap {
        // SAFETY: the state exists, and is borrowed by nobody else; the references live in this statement only.
        let (panic, source) = unsafe { ((*self.state.as_ptr()).panic.take(), (*self.state.as_ptr()).error.take()) };
        let mut status = 0;
        // SAFETY: the trap is one that a call gave just now, and is used no more afterwards.
        let trap = unsafe {
            let owned = |text: *const c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
            let trap = Trap {
                code: TrapCode::from_raw(ffi::aot_trap_code(raw)),
                message: owned(ffi::aot_trap_message(raw)),
                backtrace: owned(ffi::aot_trap_backtrace(raw)),
                exit_status: ffi::aot_trap_exit_status(raw, &mut status).then_some(status),
                source,
            };
            ffi::aot_trap_delete(raw);
            trap
        };
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        trap
    }

    fn func_ref(&self, raw: usize) -> Option<FuncRef> {
        // SAFETY: the state exists.
        let instance = unsafe { (*self.state.as_ptr()).number };
        NonZeroUsize::new(raw).map(|raw| FuncRef { raw, instance })
    }

    fn raw_func_ref(&self, func: Option<FuncRef>) -> Result<usize, Trap> {
        // SAFETY: the state exists.
        let number = unsafe { (*self.state.as_ptr()).number };
        match func {
            None => Ok(0),
            Some(FuncRef { raw, instance }) if instance == number => Ok(raw.get()),
            Some(_) => Err(Trap::misuse(String::from("a reference to a function of another instance was given"))),
        }
    }
}

/// Calls an imported function. Nothing if it has failed: the guest will trap.
///
/// # Safety
/// Called by a function that the guest has called, with its instance, whose state has this type.
unsafe fn imported<H, R>(
    raw: *mut c_void,
    call: impl FnOnce(&mut Guest<'_, H>) -> Result<R, HostError>,
) -> Option<R> {
    // SAFETY: the caller vouches for the instance; `instantiate` gave it this pointer.
    let state = unsafe { NonNull::new_unchecked(ffi::aot_instance_host(raw).cast::<State<H>>()) };
    // The start function runs before the instance is known elsewhere.
    // SAFETY: the call of the guest that leads here has the only borrow, and waits. So below.
    unsafe { (*state.as_ptr()).raw = raw };
    let mut guest = Guest { state, marker: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| {
        call(&mut guest).map_err(|error| {
            let message = error.to_string().replace('\0', "?");
            (CString::new(message).unwrap_or_default(), error)
        })
    }));
    match result {
        Ok(Ok(result)) => return Some(result),
        // SAFETY: see above; the message is a string.
        Ok(Err((message, error))) => unsafe {
            ffi::aot_instance_fail(raw, message.as_ptr());
            (*state.as_ptr()).error = Some(error);
        },
        // SAFETY: as before.
        Err(payload) => unsafe {
            ffi::aot_instance_fail(raw, c"an imported function panicked".as_ptr());
            (*state.as_ptr()).panic = Some(payload);
        },
    }
    None
}

/// The bytes of a memory.
///
/// # Safety
/// It is one of an instance that exists and that nobody runs or changes during the lifetime.
unsafe fn bytes<'a>(memory: *const RawMemory) -> &'a [u8] {
    // SAFETY: the caller vouches for it. An empty memory may have no address.
    unsafe {
        let RawMemory { data, size } = *memory;
        if size == 0 { &[] } else { ::std::slice::from_raw_parts(data, size) }
    }
}

/// # Safety
/// As `bytes`, and nobody else reads it either.
unsafe fn bytes_mut<'a>(memory: *const RawMemory) -> &'a mut [u8] {
    // SAFETY: see above.
    unsafe {
        let RawMemory { data, size } = *memory;
        if size == 0 { &mut [] } else { ::std::slice::from_raw_parts_mut(data, size) }
    }
}

fn range(offset: u32, len: usize, size: usize) -> Result<::std::ops::Range<usize>, OutOfBounds> {
    let start = offset as usize;
    match start.checked_add(len) {
        Some(end) if end <= size => Ok(start..end),
        _ => Err(OutOfBounds { offset, len, size }),
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
struct RawMemory {
    data: *mut u8,
    size: usize,
}
