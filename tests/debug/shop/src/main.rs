//! A program with values of the kinds that Rust has, for a debugger to show.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Food,
    Tool,
}

enum Price {
    Free,
    Cents(u32),
    Named { cents: u32, label: &'static str },
}

struct Item {
    kind: Kind,
    price: Price,
    count: Option<u32>,
    sizes: [u8; 3],
}

trait Weigh {
    fn weight(&self) -> u64;
}

impl Weigh for Item {
    #[inline(never)]
    fn weight(&self) -> u64 {
        let sum: u64 = self.sizes.iter().map(|size| u64::from(*size)).sum();
        sum * 10
    }
}

struct Node {
    value: i32,
    next: Option<Box<Node>>,
}

static OPEN: AtomicU32 = AtomicU32::new(7);
static NAME: &str = "corner";

#[inline(never)]
fn cents(item: &Item) -> u32 {
    let count = item.count.unwrap_or(1);
    let each = match &item.price {
        Price::Free => 0,
        Price::Cents(cents) => *cents,
        Price::Named { cents, label } => *cents + label.len() as u32,
    };
    each * count
}

#[inline(never)]
fn total(items: &[Item], factor: u32, ratio: f64) -> u32 {
    let mut sum = 0;
    for item in items {
        let own = cents(item) * factor;
        sum += own;
    }
    sum + ratio as u32
}

#[inline(never)]
fn largest(values: &[u32], name: &str) -> u32 {
    let found = values.iter().copied().max().unwrap_or(0);
    found + name.len() as u32
}

#[inline(never)]
fn last(mut node: &Node) -> i32 {
    while let Some(next) = &node.next {
        node = next;
    }
    node.value
}

fn main() {
    let items = [
        Item { kind: Kind::Food, price: Price::Cents(250), count: Some(2), sizes: [1, 2, 3] },
        Item { kind: Kind::Tool, price: Price::Named { cents: 1999, label: "saw" }, count: None, sizes: [9, 9, 9] },
        Item { kind: Kind::Food, price: Price::Free, count: Some(3), sizes: [0; 3] },
    ];
    let pair = (-3i16, 'x');
    let is_open = OPEN.fetch_add(1, Ordering::Relaxed) > 6;
    let list = Node { value: 1, next: Some(Box::new(Node { value: 2, next: None })) };
    let sum = total(&items, 3, 0.75);
    let most = largest(&[3, 9, 4], NAME);
    let weigh: &dyn Weigh = &items[1];
    let weight = black_box(weigh).weight();
    println!("{sum} {most} {weight} {} {} {is_open} {} {}", pair.0, pair.1, NAME, last(&list));
    if items[0].kind == Kind::Tool {
        std::process::exit(1);
    }
}
