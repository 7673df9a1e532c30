//! Modules by name, loaded when they are first asked for.

use super::code::{LoadError, Module};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The extension of image files.
const EXTENSION: &str = "cwasm";

/// Modules of some directories, by name: `codec` is the file `codec.cwasm`. They are loaded when they are first asked for,
/// and stay until they are unloaded. For any number of threads.
///
/// ```no_run
/// use aot_runtime::embed::Registry;
///
/// // SAFETY: only our own build writes to this directory.
/// let registry = unsafe { Registry::new(["/usr/lib/my-host/plugins"]) };
/// let codec = registry.get("codec")?;
/// assert!(codec.get_export("decode").is_some());
/// registry.unload("codec");
/// # Ok::<(), aot_runtime::embed::LoadError>(())
/// ```
pub struct Registry {
    directories: Vec<PathBuf>,
    modules: Mutex<BTreeMap<String, Module>>,
}

impl Registry {
    /// A registry of the images in these directories; the first one that has a name counts.
    ///
    /// # Safety
    /// As [`Module::deserialize_file`], for every image in the directories.
    pub unsafe fn new(directories: impl IntoIterator<Item = impl Into<PathBuf>>) -> Registry {
        let directories = directories.into_iter().map(Into::into).collect();
        Registry { directories, modules: Mutex::default() }
    }

    /// The module of this name, loaded if it is not yet.
    ///
    /// # Errors
    /// If there is no such image, or it cannot be loaded.
    pub fn get(&self, name: &str) -> Result<Module, LoadError> {
        if let Some(module) = self.modules().get(name) {
            return Ok(module.clone());
        }
        let path = self.find(name).ok_or_else(|| LoadError::System {
            path: Some(PathBuf::from(name).with_added_extension(EXTENSION)),
            error: Errno::NOENT,
        })?;
        // Loading takes its time; meanwhile others may use the registry.
        // SAFETY: `new`'s caller vouches for what is in the directories.
        let module = unsafe { Module::deserialize_file(path)? };
        // Another thread may have been quicker: all get the same module.
        Ok(self.modules().entry(name.to_string()).or_insert(module).clone())
    }

    /// Adds a module under a name, in place of one that was loaded.
    pub fn insert(&self, name: &str, module: Module) {
        self.modules().insert(name.to_string(), module);
    }

    /// Forgets a module: it is loaded anew when it is asked for. Its memory is freed when its last instance is gone.
    /// Returns whether it was loaded.
    pub fn unload(&self, name: &str) -> bool {
        self.modules().remove(name).is_some()
    }

    /// The names of the modules that are loaded.
    pub fn loaded(&self) -> Vec<String> {
        self.modules().keys().cloned().collect()
    }

    /// The names of all modules: those that are loaded, and the images in the directories.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.loaded();
        for entry in self.directories.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten() {
            let Ok(path) = entry.map(|entry| entry.path()) else { continue };
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(String::from));
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The image of a name. Names are no paths: they never lead out of the directories.
    fn find(&self, name: &str) -> Option<PathBuf> {
        if name.is_empty() || name.contains(['/', '\0']) || name == ".." {
            return None;
        }
        let files = self.directories.iter().map(|dir| dir.join(name).with_added_extension(EXTENSION));
        files.into_iter().find(|file| file.is_file())
    }

    fn modules(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Module>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
