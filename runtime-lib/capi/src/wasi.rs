//! WASI: what a store's guests see of the world.

use crate::error::{self, Kind};
use crate::handle::{self, Handle};
use crate::store::{Data, StoreCell, StoreObject};
use crate::vec::{self, ByteVec, CVec};
use aot_runtime::embed::wasi::{self, OutputBuffer, Stdio, WasiCtx, WasiCtxBuilder};
use aot_runtime::embed::{Error, Linker};
use core::ffi::{c_char, c_int, c_void};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;

/// What a standard stream will be.
enum Stream {
    Null,
    Inherit,
    File(OwnedFd),
    Input(Vec<u8>),
    /// Kept in memory, up to so many bytes.
    Capture(u64),
}

/// `aot_wasi_t`: a context in the making.
pub struct WasiObject {
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    /// Directories of the host, and their names for the guest.
    dirs: Vec<(Vec<u8>, Vec<u8>)>,
    streams: [Stream; 3],
}

class! { WasiObject, "aot_wasi_t"; }
delete! { aot_wasi_delete(WasiObject); }

/// Defines the functions of WASI. Stores get a context before they can call them.
pub fn add_to_linker(linker: &mut Linker<Data>) -> Result<(), Error> {
    wasi::add_to_linker(linker, |data: &mut Data| {
        data.wasi.as_mut().expect("a store has a context before its guests have these functions")
    })
}

/// Gives a store that has none a context in which there is nothing.
pub fn default_context(store: &Arc<StoreCell>) -> Result<(), Error> {
    let Some(mut entered) = store.enter() else { return Err(Error::Usage(crate::store::BUSY.to_owned())) };
    // SAFETY: nothing below uses the store.
    let data = unsafe { entered.data_mut() };
    if data.wasi.is_none() {
        let context = WasiCtxBuilder::new(Stdio::Null, Stdio::Null, Stdio::Null);
        let context = context.map_err(|error| Error::Usage(format!("no WASI context: {error}")))?;
        data.wasi = Some(context.build());
    }
    Ok(())
}

/// Bytes of a text of C's.
///
/// # Safety
/// C vouches for the text.
unsafe fn bytes(text: *const c_char, function: &str) -> Vec<u8> {
    // SAFETY: the caller vouches for the text.
    unsafe { handle::text(text, function) }.to_bytes().to_vec()
}

impl WasiObject {
    fn build(self) -> Result<(WasiCtx, [Option<OutputBuffer>; 2]), String> {
        let mut outputs = [None, None];
        let [stdin, stdout, stderr] = self.streams;
        let stdin = stream(stdin, &mut None)?;
        let [out, err] = &mut outputs;
        let (stdout, stderr) = (stream(stdout, out)?, stream(stderr, err)?);
        let mut context = WasiCtxBuilder::new(stdin, stdout, stderr)
            .map_err(|error| format!("the standard streams cannot be used: {error}"))?;
        for arg in &self.args {
            context.arg(arg);
        }
        for variable in &self.env {
            context.env(variable);
        }
        for (host, guest) in &self.dirs {
            context.preopen(host, guest).map_err(|error| {
                format!("the directory `{}` cannot be opened: {error}", String::from_utf8_lossy(host))
            })?;
        }
        Ok((context.build(), outputs))
    }
}

fn stream(stream: Stream, output: &mut Option<OutputBuffer>) -> Result<Stdio, String> {
    let no_memory = |error| format!("no memory for a stream: {error}");
    Ok(match stream {
        Stream::Null => Stdio::Null,
        Stream::Inherit => Stdio::Inherit,
        Stream::File(file) => Stdio::File(file),
        Stream::Input(bytes) => Stdio::input(&bytes).map_err(no_memory)?,
        Stream::Capture(capacity) => {
            let buffer = OutputBuffer::new(capacity).map_err(no_memory)?;
            output.insert(buffer).stream().map_err(no_memory)?
        }
    })
}

/// The place of a standard stream; nothing, and the error is noted, if there is no such one.
fn place(wasi: &mut WasiObject, number: c_int) -> Option<&mut Stream> {
    let stream = usize::try_from(number).ok().and_then(|number| wasi.streams.get_mut(number));
    if stream.is_none() {
        error::set(Kind::Usage, format!("there is no standard stream {number}: 0, 1 and 2 are"));
    }
    stream
}

#[unsafe(no_mangle)]
extern "C" fn aot_wasi_new() -> *mut Handle<WasiObject> {
    let streams = [Stream::Null, Stream::Null, Stream::Null];
    Handle::give(WasiObject { args: Vec::new(), env: Vec::new(), dirs: Vec::new(), streams })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_arg(wasi: *mut Handle<WasiObject>, arg: *const c_char) {
    // SAFETY: C vouches for its texts.
    get_mut!(wasi).args.push(unsafe { bytes(arg, here!()) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_env(wasi: *mut Handle<WasiObject>, name: *const c_char, value: *const c_char) {
    // SAFETY: C vouches for its texts.
    let variable = unsafe { [bytes(name, here!()), bytes(value, here!())].join(&b'=') };
    get_mut!(wasi).env.push(variable);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_inherit_env(wasi: *mut Handle<WasiObject>) {
    let variables = std::env::vars_os().map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    get_mut!(wasi).env.extend(variables);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_preopen(
    wasi: *mut Handle<WasiObject>,
    host: *const c_char,
    guest: *const c_char,
) {
    // SAFETY: C vouches for its texts.
    get_mut!(wasi).dirs.push(unsafe { (bytes(host, here!()), bytes(guest, here!())) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_inherit(wasi: *mut Handle<WasiObject>, stream: c_int) -> bool {
    place(get_mut!(wasi), stream).map(|place| *place = Stream::Inherit).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_inherit_stdio(wasi: *mut Handle<WasiObject>) {
    get_mut!(wasi).streams = [Stream::Inherit, Stream::Inherit, Stream::Inherit];
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_file(
    wasi: *mut Handle<WasiObject>,
    stream: c_int,
    path: *const c_char,
) -> bool {
    // SAFETY: C vouches for its texts.
    let path = unsafe { bytes(path, here!()) };
    let path = OsStr::from_bytes(&path);
    let Some(place) = place(get_mut!(wasi), stream) else { return false };
    let file = if stream == 0 { File::open(path) } else { File::create(path) };
    match file {
        Ok(file) => {
            *place = Stream::File(file.into());
            true
        }
        Err(error) => {
            error::set(Kind::System, format!("`{}` cannot be opened: {error}", path.display()));
            false
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_fd(wasi: *mut Handle<WasiObject>, stream: c_int, fd: c_int) -> bool {
    let Some(place) = place(get_mut!(wasi), stream) else { return false };
    let copy = match fd {
        // -1 is no descriptor that one could borrow.
        ..0 => Err(std::io::Error::from_raw_os_error(9)),
        // SAFETY: C vouches for its descriptor; one that is not open is an error of the copying.
        _ => unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned(),
    };
    match copy {
        Ok(fd) => {
            *place = Stream::File(fd);
            true
        }
        Err(error) => {
            error::set(Kind::System, format!("the file descriptor {fd} cannot be used: {error}"));
            false
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_input(wasi: *mut Handle<WasiObject>, input: *const c_void, size: usize) {
    // SAFETY: C vouches for the bytes.
    let input = unsafe { vec::slice(input.cast::<u8>(), size) };
    get_mut!(wasi).streams[0] = Stream::Input(input.to_vec());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_wasi_capture(wasi: *mut Handle<WasiObject>, stream: c_int, capacity: u64) -> bool {
    if stream == 0 {
        error::set(Kind::Usage, "the standard input is read, not written");
        return false;
    }
    place(get_mut!(wasi), stream).map(|place| *place = Stream::Capture(capacity)).is_some()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_set_wasi(
    store: *const Handle<StoreObject>,
    wasi: *mut Handle<WasiObject>,
) -> bool {
    let store = &get!(store).0;
    let built = take!(wasi).build();
    let Some(mut entered) = store.enter() else { return false };
    match built {
        Ok((context, outputs)) => {
            // SAFETY: nothing below uses the store.
            let data = unsafe { entered.data_mut() };
            (data.wasi, data.outputs) = (Some(context), outputs);
            true
        }
        Err(message) => {
            error::set(Kind::System, message);
            false
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aot_store_output(
    store: *const Handle<StoreObject>,
    stream: c_int,
    out: *mut ByteVec,
) -> bool {
    let contents = || {
        let mut entered = get!(store).0.enter()?;
        // SAFETY: nothing below uses the store.
        let outputs = unsafe { &entered.data_mut().outputs };
        let number = usize::try_from(stream).ok().and_then(|stream| stream.checked_sub(1));
        let Some(Some(buffer)) = number.and_then(|number| outputs.get(number)) else {
            error::set(Kind::Usage, format!("the stream {stream} of the store is not captured"));
            return None;
        };
        buffer.contents().inspect_err(|error| error::set(Kind::System, error.to_string())).ok()
    };
    let contents = contents();
    let vec = contents.as_ref().map_or(CVec::empty(), |bytes| CVec::from_iter(bytes.iter().copied()));
    // SAFETY: C vouches for its pointers.
    unsafe { out.write(vec) };
    contents.is_some()
}
