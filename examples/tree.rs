//! Prints a directory and what is in it as a tree, with sizes.
//!
//! ```sh
//! rustc --target wasm32-wasip1 -O examples/tree.rs -o tree.wasm
//! aot build tree.wasm -o tree --dir .::/here     # the program will see this directory and nothing else
//! ./tree /here
//! ```

use std::path::Path;
use std::{env, fs, io, process};

fn main() {
    let root = env::args().nth(1).unwrap_or_else(|| "/".to_owned());
    println!("{root}");
    match tree(Path::new(&root), "") {
        Ok((files, len_bytes)) => println!("\n{files} files, {len_bytes} bytes"),
        Err(error) => {
            eprintln!("tree: {root}: {error}");
            process::exit(1);
        }
    }
}

/// Prints the entries of a directory; gives the number and total size of the files below it.
fn tree(directory: &Path, indent: &str) -> io::Result<(u64, u64)> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let (mut files, mut total_bytes) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let is_last = index + 1 == entries.len();
        let (branch, below) = if is_last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            println!("{indent}{branch}{name}/");
            let (count, bytes) = tree(&entry.path(), &format!("{indent}{below}"))?;
            files += count;
            total_bytes += bytes;
        } else {
            let bytes = if kind.is_file() { entry.metadata()?.len() } else { 0 };
            println!("{indent}{branch}{name} ({bytes})");
            files += 1;
            total_bytes += bytes;
        }
    }
    Ok((files, total_bytes))
}
