//! The reader of images: it takes what the compiler writes of random modules, for every target, and what is changed in it
//! is refused or still makes sense. It never panics.

use aot_abi::image::{HASH_LEN, ImageError, ImageFile, Machine};
use aot_compiler::Config;
use aot_fuzz::{Random, Shape, generate};

const MODULES: u64 = 300;
const CHANGES: usize = 200;

fn blake3(parts: [&[u8]; 2]) -> [u8; HASH_LEN] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

/// Changes a few bytes, or moves or cuts some of them.
fn change(random: &mut Random, image: &[u8]) -> Vec<u8> {
    let mut bytes = image.to_vec();
    // Headers, note and description are at the front, the section headers at the end.
    let parsed = ImageFile::parse(image).unwrap();
    let (front, back) = (parsed.description.end() as usize, 64 * 10);
    let place = |random: &mut Random| match random.below(8) {
        0..5 => random.below(front),
        5 | 6 => image.len() - 1 - random.below(back),
        _ => random.below(image.len()),
    };
    for _ in 0..random.between(1, 4) {
        let at = place(random).min(bytes.len() - 1);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes[at] = random.below(256) as u8,
            3 => {
                let len = random.between(1, 16).min(bytes.len() - at);
                let from = place(random).min(bytes.len() - len);
                bytes.copy_within(from..from + len, at);
            }
            4 => {
                let value = [0, 1, u64::MAX, 1 << 32, image.len() as u64, random.next_u64()][random.below(6)];
                let len = 8.min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            }
            _ if random.one_in(8) => bytes.truncate(at.max(1)),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    bytes
}

/// Reads a file as a loader does, whatever its hash. Returns whether it makes sense.
fn read(bytes: &[u8]) -> Result<(), ImageError> {
    let image = ImageFile::parse(bytes)?;
    let refusals = image.refusals(Machine::HOST, |name| name.len() % 2 == 0);
    assert!(refusals.iter().all(|refusal| !refusal.to_string().is_empty()));
    let (description, module) = image.describe()?;
    let text = image.bytes(image.text);
    assert_eq!(text.len() as u64, image.text.len);
    for range in 0..description.range_count() {
        let (offset, len) = description.code_range(range);
        assert!((offset as usize + len as usize) <= text.len());
        let location = description.locate(offset);
        location.and_then(|location| location.trap());
        let _ = description.name(range);
    }
    assert!(module.entries.iter().all(|entry| (entry.pad_offset as usize) < text.len()));
    assert!(module.escaped.iter().all(|func| module.func_type_index(*func).is_some()));
    let data = image.bytes(image.data);
    assert!(module.data.iter().all(|segment| segment.offset as usize + segment.len as usize <= data.len()));
    assert_eq!(module.memory_image.map_or(0, |image| image.len), image.bytes(image.memory).len() as u64);
    Ok(())
}

#[test]
fn images_are_whole_and_changes_are_noticed() {
    let (mut images, mut accepted, mut refused) = (0, 0, 0);
    for seed in 3_000_000.. {
        if images == MODULES {
            break;
        }
        assert!(seed < 3_000_000 + MODULES * 3, "only {images} modules");
        let mut random = Random::new(seed);
        let Some(wasm) = generate(&mut random, Shape::Any) else { continue };
        let machine = Machine::ALL[random.below(Machine::ALL.len())];
        let config = Config { verify_clif: false, ..Config::image(machine.triple().parse().unwrap()) };
        let compiled =
            aot_compiler::compile(&wasm, &config).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let bytes = compiled.cwasm().unwrap();
        images += 1;
        read(&bytes).unwrap_or_else(|error| panic!("seed {seed}, {machine:?}: {error}"));
        let image = ImageFile::parse(&bytes).unwrap();
        image.verify(blake3).unwrap_or_else(|error| panic!("seed {seed}, {machine:?}: {error}"));
        for _ in 0..CHANGES {
            let changed = change(&mut random, &bytes);
            match read(&changed) {
                Ok(()) => accepted += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty() && !error.help().is_empty());
                }
            }
            let is_intact = ImageFile::parse(&changed).is_ok_and(|image| image.verify(blake3).is_ok());
            assert_eq!(is_intact, changed == bytes, "seed {seed}");
        }
    }
    println!("{images} images, {accepted} changes accepted, {refused} refused");
    assert!(accepted > 100 && refused > 1000, "{accepted} accepted, {refused} refused");
}
