//! The functions of the runtime library that imports of WASI are bound to.

use crate::config::ImportSymbol;
use aot_abi::call::library::{WASI_PREFIX, WASI0_PREFIX};
use aot_abi::types::FuncType;

/// The function of an executable, if the import is one of WASI.
pub fn executable_import(module: &str, name: &str) -> Option<ImportSymbol> {
    let function = aot_abi::wasi::lookup(module, name)?;
    let ty = FuncType { params: function.params.to_vec(), results: function.results.to_vec() };
    Some(ImportSymbol { symbol: function.symbol.to_owned(), ty })
}

/// The same for objects that are libraries of other programs.
pub fn library_import(module: &str, name: &str) -> Option<ImportSymbol> {
    let ImportSymbol { symbol, ty } = executable_import(module, name)?;
    let own = |prefix: &str, of_library: &str| Some(format!("{of_library}{}", symbol.strip_prefix(prefix)?));
    let symbol = own("aot_wasi_", WASI_PREFIX).or_else(|| own("aot_wasi0_", WASI0_PREFIX))?;
    Some(ImportSymbol { symbol, ty })
}

/// Binds nothing: functions of WASI are the host's.
pub fn no_import(_module: &str, _name: &str) -> Option<ImportSymbol> {
    None
}
