//! A shop whose rules are WebAssembly: two plugins, compiled by `build.rs` and linked like any other code.

include!(concat!(env!("OUT_DIR"), "/price.rs"));
include!(concat!(env!("OUT_DIR"), "/tax.rs"));

/// What the price plugin may do: leave notes, as long as there are not too many.
struct Shop {
    notes: Vec<String>,
    most_notes: usize,
}

impl price::Imports for Shop {
    fn shop_note(guest: &mut price::Guest<'_, Self>, address: i32, len: i32) -> Result<(), price::HostError> {
        let text = guest.read_memory(address.cast_unsigned(), len.cast_unsigned())?;
        let note = std::str::from_utf8(text)?.to_owned();
        let shop = guest.host_mut();
        if shop.notes.len() == shop.most_notes {
            return Err("the shop has no more paper".into());
        }
        shop.notes.push(note);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut prices = price::Instance::new(Shop { notes: Vec::new(), most_notes: 1 })?;
    let mut taxes = tax::Instance::new()?;
    for pieces in [3, 20] {
        let price = prices.price(pieces, 250)?;
        let (tax, net) = taxes.split(price)?;
        println!("{pieces} pieces: {price} = {net} + {tax}");
    }
    taxes.set_rate(7);
    println!("at another rate: {:?}", taxes.split(750)?);
    println!("notes: {:?}", prices.host().notes);

    // A second instance has a state of its own.
    let other = tax::Instance::new()?;
    println!("rates: {} and {}", taxes.get_rate(), other.get_rate());

    // Neither a plugin that fails nor a function that refuses takes the program with it.
    for pieces in [0, 30] {
        if let Err(trap) = prices.price(pieces, 250) {
            println!("{pieces} pieces: {:?}: {trap}", trap.code());
        }
    }
    println!("1 piece: {}", prices.price(1, 250)?);
    Ok(())
}
