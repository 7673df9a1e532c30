//! Whether two engines have done the same: nobody is fast who is wrong.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Compares two files without holding them in memory: the harness stays small (see `Sample::peak_bytes`).
///
/// # Errors
/// They differ, or can't be read.
pub fn check_files(ours: &Path, theirs: &Path) -> Result<()> {
    let open = |path: &Path| {
        let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        anyhow::Ok(BufReader::new(file))
    };
    let (mut a, mut b) = (open(ours)?, open(theirs)?);
    let mut offset = 0;
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let len = left.len().min(right.len());
        if left[..len] != right[..len] || (len == 0 && left.len() != right.len()) {
            bail!("{} and {} differ after byte {offset}", ours.display(), theirs.display());
        }
        if len == 0 {
            return Ok(());
        }
        offset += len;
        a.consume(len);
        b.consume(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: &[u8], theirs: &[u8], are_equal: bool) {
        let dir = std::env::temp_dir().join(format!("aot-benches-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        std::fs::write(&a, ours).unwrap();
        std::fs::write(&b, theirs).unwrap();
        assert_eq!(check_files(&a, &b).is_ok(), are_equal);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn files_are_compared() {
        check(b"", b"", true);
        check(&[7; 100_000], &[7; 100_000], true);
        check(&[7; 100_000], &[7; 99_999], false);
        check(b"abc", b"abd", false);
        check(b"", b"a", false);
    }
}
