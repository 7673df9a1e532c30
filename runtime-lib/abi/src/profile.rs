//! The profile of an executable: how often its code ran. What a build for profiling carries, its runtime keeps in a file, and
//! another build reads.
//!
//! The file is a piece of the executable's data, with the counters that have counted. Words of 64 bits in the byte order of the
//! machine:
//!
//! ```text
//! 0   magic
//! 1   number of the layout: files with the same one can be added up
//! 2   bytes of the description
//! 3   number of counters
//! 4   number of sites
//! 5   description, as the compiler wants it, and zeros up to a whole word
//!     counters
//!     sites, of three words: target + 1, votes, calls
//! ```
//! A site is an indirect call. It keeps one target, by the vote of Boyer and Moore (MJRTY, 1981): a call of the target is a
//! vote for it, another one a vote against it, and without votes the next call's target is taken. So a target of more than half of
//! all calls is found, and `votes` is the least that it got more than all others together.
//!
//! In the executable, the word before the file is its length in bytes, and after it comes the name to write it by, ended by
//! NUL.

/// The first word.
pub const MAGIC: u64 = u64::from_be_bytes(*b"aotprof\x01");

/// Words before the description.
pub const HEADER_WORDS: usize = 5;

/// Words of a site.
pub const SITE_WORDS: usize = 3;

/// Name of the runtime's function that writes the file, for the descriptor.
pub const WRITER: &str = "aot_write_profile";

/// The environment variable that names another file.
pub const VARIABLE: &str = "AOT_PROFILE_FILE";
