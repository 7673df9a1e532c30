//! An engine in another process: an executable with the runtime's driver, under an emulator if it is for another
//! machine. The requests are described in `runtime-lib/src/drive.rs`.

use super::engine::{Error, Instance, Module};
use super::values::Value;
use crate::commands::build;
use crate::report::{Failure, Result};
use aot_abi::module::Description;
use aot_abi::trap::TrapCode;
use aot_compiler::{Config, Entry, Image, LinkOptions, Target};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How programs for a target are started: a command, and words that come before the program.
#[derive(Clone)]
pub(super) struct Launcher {
    command: Vec<String>,
    driver: PathBuf,
}

impl Launcher {
    /// Makes the driver's executable for a target. `runner` is a command that runs it; by default the emulator of QEMU
    /// for the target, or nothing on the same machine.
    pub fn new(target: &Target, runner: Option<&str>) -> Result<Launcher> {
        let command = match runner {
            Some(runner) => runner.split_whitespace().map(str::to_owned).collect(),
            None if is_host(target) => Vec::new(),
            None => vec![emulator(target)?],
        };
        let wasm = b"\0asm\x01\0\0\0";
        let failed = |error: aot_compiler::Error| Failure::compiler(&error, Path::new("the driver"));
        let config = Config::executable(target.clone(), |_, _| None);
        let module = aot_compiler::compile(wasm, &config).map_err(failed)?;
        let entry = aot_compiler::entry_object(Entry::Driver, target).map_err(failed)?;
        let options = aot_compiler::options_object(&[], true, target).map_err(failed)?;
        let object = module.object().map_err(failed)?;
        let objects = vec![object, options, entry];
        let runtime = build::runtime(target)?;
        let bytes = aot_compiler::link_executable(objects, runtime, target, &LinkOptions::default());
        let driver = std::env::temp_dir().join(format!("aot-driver-{}-{target}", std::process::id()));
        let bytes = bytes.map_err(failed)?;
        crate::output::write(&driver, &bytes, crate::output::Content::Executable)?;
        Ok(Launcher { command, driver })
    }

    /// Starts a driver.
    pub fn start(&self) -> Result<Remote> {
        let words: Vec<_> = self.command.iter().map(Path::new).chain([self.driver.as_path()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        if words[0].ends_with("qemu-riscv64") && std::env::var_os("QEMU_CPU").is_none() {
            // What QEMU emulates by default has no vectors.
            command.env("QEMU_CPU", "rv64,v=true,vlen=128,elen=64,vext_spec=v1.0");
        }
        let mut child = command.spawn().map_err(|error| Failure::io("cannot start", words[0], &error))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        match (input, output) {
            (Some(input), Some(output)) => Ok(Remote { child, input, output, modules: 0, instances: 0 }),
            _ => Err(Failure::new("the driver has no standard streams")),
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // In the directory for temporary files: nothing is lost if it stays.
        drop(fs::remove_file(&self.driver));
    }
}

fn is_host(target: &Target) -> bool {
    Target::host().is_ok_and(|host| host.triple() == target.triple())
}

/// QEMU's emulator of programs for a target.
fn emulator(target: &Target) -> Result<String> {
    let name = target.name();
    let command = format!("qemu-{}", name.split('-').next().unwrap_or(&name));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&paths).any(|path| path.join(&command).is_file()) {
        true => Ok(command),
        false => Err(Failure::new(format!("`{command}` is not there, which runs programs for {name}"))
            .with_help("on Debian: `apt-get install qemu-user`; or name a command with `--runner`")),
    }
}

/// A driver that runs.
pub(super) struct Remote {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    modules: u32,
    instances: u32,
}

/// A request under construction.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u8) -> Request {
        Request(vec![0, 0, 0, 0, kind])
    }

    fn u32(mut self, value: u32) -> Request {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Request {
        self.0.extend_from_slice(bytes);
        self
    }

    fn name(self, name: &str) -> Request {
        self.u32(name.len() as u32).bytes(name.as_bytes())
    }
}

impl Remote {
    /// Sends a request, and gives what follows the status of the answer.
    fn ask(&mut self, mut request: Request) -> Result<Vec<u8>, Error> {
        let len = (request.0.len() - 4) as u32;
        request.0[..4].copy_from_slice(&len.to_le_bytes());
        let answer = self.exchange(&request.0);
        let answer = answer.map_err(|error| {
            let status = self.child.wait().map_or_else(|_| String::from("?"), |status| status.to_string());
            Error::Other(format!("the driver is gone ({error}; {status})"))
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match answer.split_first() {
            Some((0, rest)) => Ok(rest.to_vec()),
            Some((1, [code])) => {
                let code = TrapCode::from_u8(*code);
                Err(Error::Trap(code.map_or_else(|| String::from("?"), |code| code.message().to_owned())))
            }
            Some((2, rest)) => Err(Error::Import(text(rest))),
            Some((_, rest)) => Err(Error::Other(text(rest))),
            None => Err(Error::Other(String::from("an empty answer"))),
        }
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.input.write_all(request)?;
        let mut len = [0; 4];
        self.output.read_exact(&mut len)?;
        let mut answer = vec![0; u32::from_le_bytes(len) as usize];
        self.output.read_exact(&mut answer)?;
        Ok(answer)
    }

    pub fn load(&mut self, image: &Image) -> Result<Module, Error> {
        let description = Description::new(&image.description).and_then(|description| description.module());
        let description = description.map_err(|error| Error::Other(error.to_string()))?;
        let imports = description.imports.into_iter().map(|import| (import.module, import.name)).collect();
        let parts = [&image.text, &image.description, &image.data];
        let request = parts.iter().fold(Request::new(1), |request, part| request.u32(part.len() as u32));
        let request = parts.iter().fold(request, |request, part| request.bytes(part));
        self.ask(request)?;
        self.modules += 1;
        Ok(Module::Remote { number: self.modules - 1, imports })
    }

    pub fn instantiate<'a>(
        &mut self,
        module: u32,
        imports: impl Iterator<Item = (u32, &'a str)>,
    ) -> Result<Instance, Error> {
        let request = Request::new(2).u32(module);
        let request = imports.fold(request, |request, (instance, name)| request.u32(instance).name(name));
        // A number is used up in any case.
        self.instances += 1;
        self.ask(request)?;
        Ok(Instance::Remote(self.instances - 1))
    }

    pub fn call(&mut self, instance: u32, name: &str, args: &[Value]) -> Result<Vec<Value>, Error> {
        let request = Request::new(3).u32(instance).name(name);
        let request = args.iter().fold(request, |request, value| request.bytes(&value.to_slot()));
        let answer = self.ask(request)?;
        answer.chunks_exact(17).map(value).collect()
    }

    pub fn global(&mut self, instance: u32, name: &str) -> Result<Value, Error> {
        value(&self.ask(Request::new(4).u32(instance).name(name))?)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // The end of its input would end it too, but it may be in an endless loop.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A value: type and slot.
fn value(bytes: &[u8]) -> Result<Value, Error> {
    let parts = bytes.split_first().and_then(|(ty, slot)| Some((*ty, slot.try_into().ok()?)));
    parts
        .and_then(|(ty, slot)| Value::from_slot(ty, slot))
        .ok_or_else(|| Error::Other(String::from("the answer is not a value")))
}
