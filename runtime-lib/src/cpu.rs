//! Whether the machine has the CPU features that compiled code uses.

#[cfg(feature = "standalone")]
use crate::message::Message;
#[cfg(feature = "standalone")]
use crate::start::fail;

/// Ends the process with a message if the machine lacks a feature, instead of by SIGILL in the midst of things.
///
/// # Safety
/// `names` points to `len` bytes: names that are each ended by NUL. `auxv` is the process's auxiliary vector.
#[cfg(feature = "standalone")]
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_check_cpu(names: *const u8, len: usize, auxv: *const [usize; 2]) {
    // SAFETY: the caller vouches for both.
    let (names, machine) = unsafe { (core::slice::from_raw_parts(names, len), Machine::new(auxv)) };
    let mut missing =
        names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && !machine.has(name)).peekable();
    if missing.peek().is_none() {
        return;
    }
    let mut message = Message::new();
    message.text("this program was built for a CPU with features that this machine lacks:");
    missing.for_each(|name| {
        message.text(" ").bytes(name);
    });
    message.text("; build it with `--cpu baseline` or another `--cpu`");
    fail(message.as_bytes());
}

/// Whether the machine has the CPU features that a library needs.
///
/// # Safety
/// `names` points to `len` bytes: names that are each ended by NUL.
#[cfg(feature = "library")]
#[unsafe(no_mangle)]
unsafe extern "C" fn aot_lib_check_cpu(names: *const u8, len: usize) -> bool {
    // SAFETY: the caller vouches for the names.
    let names = unsafe { core::slice::from_raw_parts(names, len) };
    let mut auxv = [[0usize; 2]; 64];
    // The vector ends with an entry of type 0; an empty one says that there is nothing but the baseline.
    let read = rustix::fs::openat(
        rustix::fs::CWD,
        c"/proc/self/auxv",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    if let Ok(file) = read {
        let (entries, _) = auxv.split_at_mut(63);
        // SAFETY: any bytes are words, and the last entry stays zero.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(entries.as_mut_ptr().cast::<u8>(), size_of_val(entries))
        };
        let _len = rustix::io::read(&file, bytes);
    }
    // SAFETY: it is a vector of this form.
    let machine = unsafe { Machine::new(auxv.as_ptr()) };
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).all(|name| machine.has(name))
}

/// Whether this machine has a CPU feature, by the names of `aot settings`.
#[cfg(feature = "embed")]
pub fn has_feature(name: &str) -> bool {
    static MACHINE: std::sync::OnceLock<Machine> = std::sync::OnceLock::new();
    let machine = MACHINE.get_or_init(|| {
        // The vector ends with an entry of type 0; an empty one says that there is nothing but the baseline.
        let bytes = std::fs::read("/proc/self/auxv").unwrap_or_default();
        let word = |bytes: &[u8]| usize::from_ne_bytes(bytes.try_into().unwrap_or_default());
        let (words, _) = bytes.as_chunks::<{ size_of::<usize>() }>();
        let (entries, _) = words.as_chunks::<2>();
        let mut auxv: alloc::vec::Vec<[usize; 2]> =
            entries.iter().map(|[kind, value]| [word(kind), word(value)]).collect();
        auxv.push([0, 0]);
        // SAFETY: it is a vector of this form.
        unsafe { Machine::new(auxv.as_ptr()) }
    });
    machine.has(name.as_bytes())
}

/// What is known of the machine's CPU.
#[cfg(target_arch = "x86_64")]
struct Machine {
    /// Registers `ecx` and `edx` of leaf 1; `ebx` and `ecx` of leaf 7; `eax` of its subleaf 1; `ecx` of leaf 0x80000001.
    words: [u32; 6],
    /// Whether the system saves the registers of AVX, and those of AVX-512.
    avx: bool,
    avx512: bool,
}

#[cfg(target_arch = "x86_64")]
impl Machine {
    /// # Safety
    /// None here; on other machines the auxiliary vector is read.
    unsafe fn new(_auxv: *const [usize; 2]) -> Machine {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        let (highest, highest_extended) = (__cpuid(0).eax, __cpuid(0x8000_0000).eax);
        let first = __cpuid(1);
        let mut words = [first.ecx, first.edx, 0, 0, 0, 0];
        if highest >= 7 {
            let seventh = __cpuid_count(7, 0);
            words[2..4].copy_from_slice(&[seventh.ebx, seventh.ecx]);
            if seventh.eax >= 1 {
                words[4] = __cpuid_count(7, 1).eax;
            }
        }
        if highest_extended >= 0x8000_0001 {
            words[5] = __cpuid(0x8000_0001).ecx;
        }
        const OSXSAVE: u32 = 1 << 27;
        let mut saved: u32 = 0;
        if first.ecx & OSXSAVE != 0 {
            // SAFETY: the instruction is there if the bit is set (Intel SDM, volume 1, 13.3).
            unsafe {
                core::arch::asm!("xgetbv", in("ecx") 0, out("eax") saved, out("edx") _, options(nomem, nostack, preserves_flags));
            }
        }
        Machine { words, avx: saved & 0x6 == 0x6, avx512: saved & 0xe6 == 0xe6 }
    }

    /// Bits as in the Intel SDM, volume 2, `CPUID`, and the AMD manual, volume 3, appendix E.
    fn has(&self, name: &[u8]) -> bool {
        let (word, bit) = match name {
            b"sse3" => (0, 0),
            b"ssse3" => (0, 9),
            b"fma" => (0, 12),
            b"cmpxchg16b" => (0, 13),
            b"sse41" => (0, 19),
            b"sse42" => (0, 20),
            b"popcnt" => (0, 23),
            b"avx" => (0, 28),
            b"bmi1" => (2, 3),
            b"avx2" => (2, 5),
            b"bmi2" => (2, 8),
            b"avx512f" => (2, 16),
            b"avx512dq" => (2, 17),
            b"avx512vl" => (2, 31),
            b"avx512vbmi" => (3, 1),
            b"avx512vnni" => (3, 11),
            b"avx512bitalg" => (3, 12),
            b"avx-vnni" => (4, 4),
            b"lzcnt" => (5, 5),
            // A feature that a later compiler knows.
            _ => return true,
        };
        let is_saved = match name {
            name if name.starts_with(b"avx512") => self.avx512,
            name if name.starts_with(b"avx") || name == b"fma" => self.avx,
            _ => true,
        };
        is_saved && self.words[word] >> bit & 1 != 0
    }
}

/// What is known of the machine's CPU: the word of capabilities that the kernel gives.
#[cfg(not(target_arch = "x86_64"))]
struct Machine {
    capabilities: usize,
}

#[cfg(not(target_arch = "x86_64"))]
impl Machine {
    /// # Safety
    /// `auxv` is the process's auxiliary vector.
    unsafe fn new(mut auxv: *const [usize; 2]) -> Machine {
        const AT_NULL: usize = 0;
        const AT_HWCAP: usize = 16;
        // SAFETY: the vector ends with an entry of type `AT_NULL`.
        unsafe {
            loop {
                match auxv.read() {
                    [AT_NULL, _] => return Machine { capabilities: 0 },
                    [AT_HWCAP, capabilities] => return Machine { capabilities },
                    _ => auxv = auxv.add(1),
                }
            }
        }
    }

    /// Bits as in the kernel's `asm/hwcap.h`. What has no bit is taken to be there.
    fn has(&self, name: &[u8]) -> bool {
        let bit = match (cfg!(target_arch = "aarch64"), cfg!(target_arch = "riscv64"), name) {
            (true, _, b"lse") => 8,
            (true, _, b"fp16") => 10,
            (true, _, b"dotprod") => 20,
            (true, _, b"pauth") => 30,
            // The kernel's bit for it is younger than it, and emulators lack the bit.
            #[cfg(target_arch = "riscv64")]
            (_, _, b"v") => return crate::arch::has_vectors(),
            // A bit for each letter.
            (_, true, [letter @ b'a'..=b'z']) => u32::from(letter - b'a'),
            _ => return true,
        };
        self.capabilities >> bit & 1 != 0
    }
}
