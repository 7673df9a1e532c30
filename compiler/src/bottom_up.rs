//! Translates, inlines and compiles the functions of a module, callees first.
//!
//! A function is taken up once all those are done that it may get the bodies of: small ones that it calls, but for
//! cycles of them. Its CLIF lives until it is compiled, right after it got what is inlined into it; only what may
//! itself be inlined is kept, until its last caller is done. So memory holds small functions, and as many others as
//! there are threads. What becomes of a function depends on its callees alone, so the result does not depend on the
//! number of threads.

use crate::code_cache::{CodeCache, Entry, Made};
use crate::codegen::{self, CompiledFunction};
use crate::error::{Error, Result};
use crate::graph::cycles;
use crate::module::Body;
use crate::passes::call_graph::{self, CallGraph};
use crate::passes::{self, Candidate, Located, Locations, Rules};
use crate::profile::ModuleProfile;
use crate::scan::Scan;
use crate::translate::{ModuleContext, Scratch, Translated, translate};
use rayon::Scope;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// What is known of a module's functions before they are translated. They are numbered without imported ones.
pub(crate) struct Inlining {
    pub graph: CallGraph,
    /// The callees of each function that it may get the bodies of, ascending: small ones that are in no cycle with it.
    inlinable: Vec<Vec<u32>>,
    /// For each function the number of its cycle of calls of small functions; such callees have lower ones.
    pub cycle_of: Vec<u32>,
    /// Whether a function is in one of the lists of `inlinable`.
    has_callers: Vec<bool>,
    /// Operators of each body that become instructions.
    sizes: Vec<u32>,
    imported: u32,
    /// By function.
    is_hot: Option<Vec<bool>>,
}

impl Inlining {
    pub fn new(scans: &[Scan], imported: u32, profile: Option<&ModuleProfile>) -> Inlining {
        let graph = CallGraph::new(scans.iter().map(|scan| scan.calls.clone()).collect());
        let is_hot: Option<Vec<bool>> = profile.map(|profile| {
            (0..scans.len() as u32).map(|function| profile.is_hot_function(function)).collect()
        });
        let sizes: Vec<u32> = scans.iter().map(|scan| scan.size).collect();
        let rules = Rules { imported, graph: &graph, sizes: &sizes, profile, is_hot: is_hot.as_deref() };
        // Calls of large functions stay calls: many a cycle goes through one, such as what reports an error.
        let small = |callee: &u32| rules.may_be_candidate(*callee);
        let lists = graph.callees.iter().map(|callees| callees.iter().copied().filter(small).collect());
        let mut inlinable: Vec<Vec<u32>> = lists.collect();
        let cycle_of = cycles(&inlinable);
        let mut has_callers = vec![false; scans.len()];
        for (func, callees) in inlinable.iter_mut().enumerate() {
            callees.retain(|callee| cycle_of[func] != cycle_of[*callee as usize]);
            for callee in callees {
                has_callers[*callee as usize] = true;
            }
        }
        Inlining { graph, inlinable, cycle_of, has_callers, sizes, imported, is_hot }
    }

    /// What decides, beside its body, whether others may inline a function: whether it is called, once or more often.
    pub fn standing(&self, function: u32) -> [u8; 2] {
        let call_sites = self.graph.call_sites[function as usize].min(2) as u8;
        [call_sites, u8::from(self.has_callers[function as usize])]
    }

    /// Whether a function may get the body of one that it calls. Its code does not depend on other bodies.
    pub fn may_inline(&self, function: u32, callee: u32) -> bool {
        self.inlinable[function as usize].binary_search(&callee).is_ok()
    }

    fn rules<'r>(&'r self, profile: Option<&'r ModuleProfile>) -> Rules<'r> {
        let Inlining { imported, graph, sizes, is_hot, .. } = self;
        Rules { imported: *imported, graph, sizes, profile, is_hot: is_hot.as_deref() }
    }
}

/// Compiles all bodies, or `members` of them, with calls inlined. The results are in index order; functions that nothing
/// calls any more have no code. What `cache` has is not compiled, and what it had not is added to it.
///
/// # Errors
/// Of several errors the one of the first function, whatever the order of execution.
pub(crate) fn compile(
    context: &ModuleContext<'_>,
    bodies: Vec<Body<'_>>,
    options: codegen::Options,
    inlining: &Inlining,
    cache: Option<CodeCache<'_>>,
    members: Option<Vec<bool>>,
) -> Result<Vec<Option<CompiledFunction>>> {
    let mut nodes = nodes(context, inlining, bodies);
    let work = match members {
        None => {
            let wanted = wanted(&nodes, inlining, cache.as_ref());
            Work { compiles: vec![true; nodes.len()], wanted }
        }
        Some(compiles) => {
            let mut wanted = vec![false; nodes.len()];
            for (func, node) in nodes.iter_mut().enumerate() {
                let is_there = cache.as_ref().is_some_and(|cache| cache.entry(func as u32).is_some());
                wanted[func] = compiles[func] && !is_there;
                // Whether something calls it is not known here.
                *node.is_used.get_mut() = wanted[func] && node.is_reachable;
            }
            add_inlined(&nodes, inlining, &mut wanted);
            Work { wanted, compiles }
        }
    };
    order(&mut nodes, inlining, &work.wanted);
    if let Some(cache) = &cache {
        use_cached(&mut nodes, &work.wanted, cache);
    }
    run(context, nodes, options, inlining, cache, work)
}

fn run<'m>(
    context: &'m ModuleContext<'m>,
    nodes: Vec<Node<'m>>,
    options: codegen::Options,
    inlining: &'m Inlining,
    cache: Option<CodeCache<'m>>,
    work: Work,
) -> Result<Vec<Option<CompiledFunction>>> {
    let is_ready =
        |func: &u32| work.wanted[*func as usize] && nodes[*func as usize].callees_left.load(SeqCst) == 0;
    let ready: Vec<u32> = (0..nodes.len() as u32).filter(is_ready).collect();
    let module = Module {
        context,
        options,
        inlining,
        rules: inlining.rules(context.profiling.profile()),
        nodes,
        work,
        cache,
        has_failed: AtomicBool::new(false),
        scratch: Mutex::new(Vec::new()),
    };
    rayon::scope(|scope| {
        let module = &module;
        for func in ready.into_iter().rev() {
            scope.spawn(move |scope| module.function(func, scope));
        }
    });
    let Module { mut nodes, mut cache, .. } = module;
    if let Some(error) = nodes.iter_mut().find_map(|node| node.error.take()) {
        return Err(error);
    }
    let mut made = Vec::with_capacity(nodes.len());
    let mut results = Vec::with_capacity(nodes.len());
    for (func, mut node) in nodes.into_iter().enumerate() {
        let mut result = node.result.take().transpose()?;
        if result.is_none()
            && let Some(cache) = &mut cache
        {
            result = cache.take(func as u32, node.is_reachable, *node.is_used.get_mut());
        }
        results.push(result);
        made.push(node.made.into_inner());
    }
    if let Some(cache) = cache {
        cache.save(&results, &made);
    }
    Ok(results)
}

/// The functions that have to be translated: those that the cache has not, and what may be inlined into them.
fn wanted(nodes: &[Node<'_>], inlining: &Inlining, cache: Option<&CodeCache<'_>>) -> Vec<bool> {
    let Some(cache) = cache else { return vec![true; nodes.len()] };
    let mut wanted: Vec<bool> = (0..nodes.len() as u32).map(|func| cache.entry(func).is_none()).collect();
    // What may be called from outside, or by code.
    let mut is_called: Vec<bool> = nodes.iter().map(|node| node.is_used.load(SeqCst)).collect();
    for (func, called) in is_called.iter_mut().enumerate() {
        let is_kept = cache.entry(func as u32).is_some_and(|entry| !entry.made.is_candidate);
        *called |= nodes[func].is_reachable && (wanted[func] || is_kept);
    }
    let mut queue: Vec<u32> = (0..nodes.len() as u32).filter(|func| is_called[*func as usize]).collect();
    while let Some(func) = queue.pop() {
        let callees = match cache.entry(func).filter(|entry| entry.had_code) {
            Some(entry) => &entry.made.calls,
            None => {
                wanted[func as usize] = true;
                &inlining.graph.callees[func as usize]
            }
        };
        for callee in callees {
            if !std::mem::replace(&mut is_called[*callee as usize], true) {
                queue.push(*callee);
            }
        }
    }
    add_inlined(nodes, inlining, &mut wanted);
    wanted
}

/// Adds what may be inlined into functions.
fn add_inlined(nodes: &[Node<'_>], inlining: &Inlining, functions: &mut [bool]) {
    let mut queue: Vec<u32> = (0..nodes.len() as u32).filter(|func| functions[*func as usize]).collect();
    while let Some(func) = queue.pop() {
        for callee in &inlining.inlinable[func as usize] {
            if !std::mem::replace(&mut functions[*callee as usize], true) {
                queue.push(*callee);
            }
        }
    }
}

/// A function, and what is known of it. Functions are numbered without imported ones.
struct Node<'m> {
    body: Mutex<Option<Body<'m>>>,
    /// Whether functions may get its body.
    has_callers: bool,
    /// Those of them that have to be translated, ascending.
    callers: Vec<u32>,
    /// How many of `callers` are not done.
    callers_left: AtomicUsize,
    /// Functions of other cycles that it calls, and that have to be translated and are not done.
    callees_left: AtomicUsize,
    /// Whether calls lead to it from outside, before inlining.
    is_reachable: bool,
    /// Whether something has its address, or compiled code calls it: it needs code then.
    is_used: AtomicBool,
    candidate: Mutex<Option<Arc<Candidate>>>,
    /// Why it could not be translated.
    error: OnceLock<Error>,
    /// What it is after inlining; empty if it was not translated.
    made: OnceLock<Made>,
    /// Empty if it was not compiled.
    result: OnceLock<Result<CompiledFunction>>,
}

/// What there is to do, by function.
struct Work {
    /// Which ones have to be translated. The others are in the cache, or nothing needs them.
    wanted: Vec<bool>,
    /// Which of these get code, if they need it.
    compiles: Vec<bool>,
}

struct Module<'m> {
    context: &'m ModuleContext<'m>,
    options: codegen::Options,
    inlining: &'m Inlining,
    rules: Rules<'m>,
    nodes: Vec<Node<'m>>,
    work: Work,
    cache: Option<CodeCache<'m>>,
    /// Whether something could not be translated: then nothing more is compiled.
    has_failed: AtomicBool,
    /// Buffers that no thread uses now.
    scratch: Mutex<Vec<Buffers>>,
}

#[derive(Default)]
struct Buffers {
    translation: Scratch,
    codegen: codegen::Scratch,
}

fn nodes<'m>(context: &ModuleContext<'_>, inlining: &Inlining, bodies: Vec<Body<'m>>) -> Vec<Node<'m>> {
    let Inlining { graph, has_callers, .. } = inlining;
    let imported = context.info.imported_funcs;
    let roots = context.info.escaped.iter().copied().chain(context.info.start);
    let roots: Vec<u32> = roots.filter_map(|func| func.checked_sub(imported)).collect();
    let mut is_reachable = vec![false; bodies.len()];
    let mut queue = roots.clone();
    while let Some(func) = queue.pop() {
        if let Some(seen) = is_reachable.get_mut(func as usize)
            && !std::mem::replace(seen, true)
        {
            queue.extend(&graph.callees[func as usize]);
        }
    }
    let mut nodes: Vec<Node<'_>> = bodies
        .into_iter()
        .enumerate()
        .map(|(func, body)| Node {
            body: Mutex::new(Some(body)),
            has_callers: has_callers[func],
            callers: Vec::new(),
            callers_left: AtomicUsize::new(0),
            callees_left: AtomicUsize::new(0),
            is_reachable: is_reachable[func],
            is_used: AtomicBool::new(false),
            candidate: Mutex::new(None),
            error: OnceLock::new(),
            made: OnceLock::new(),
            result: OnceLock::new(),
        })
        .collect();
    for root in roots {
        if let Some(node) = nodes.get_mut(root as usize) {
            *node.is_used.get_mut() = true;
        }
    }
    nodes
}

/// Tells the functions that have to be translated which others they wait for.
fn order(nodes: &mut [Node<'_>], inlining: &Inlining, wanted: &[bool]) {
    for func in (0..nodes.len()).filter(|func| wanted[*func]) {
        for callee in inlining.inlinable[func].iter().map(|callee| *callee as usize) {
            if wanted[callee] {
                nodes[callee].callers.push(func as u32);
                *nodes[callee].callers_left.get_mut() += 1;
                *nodes[func].callees_left.get_mut() += 1;
            }
        }
    }
}

/// Notes what the code in the cache calls, of functions that have to have code and are not translated.
fn use_cached(nodes: &mut [Node<'_>], wanted: &[bool], cache: &CodeCache<'_>) {
    let entry = |func: u32| cache.entry(func).filter(|_| !wanted[func as usize]);
    let mut lists: Vec<&[u32]> = Vec::new();
    for (func, node) in nodes.iter_mut().enumerate() {
        if let Some(Entry { made, .. }) = entry(func as u32)
            && (*node.is_used.get_mut() || node.is_reachable && !made.is_candidate)
        {
            lists.push(&made.calls);
        }
    }
    while let Some(functions) = lists.pop() {
        for func in functions {
            if !std::mem::replace(nodes[*func as usize].is_used.get_mut(), true) {
                lists.extend(entry(*func).map(|entry| &entry.made.calls[..]));
            }
        }
    }
}

impl<'m> Module<'m> {
    fn node(&self, func: u32) -> &Node<'m> {
        &self.nodes[func as usize]
    }

    /// Takes a function up, all of whose callees are done.
    fn function<'s>(&'s self, func: u32, scope: &Scope<'s>) {
        let rest = self.translate(func, scope);
        for callee in self.inlinable(func) {
            if self.node(callee).callers_left.fetch_sub(1, SeqCst) == 1 {
                self.release(callee, scope);
            }
        }
        for caller in &self.node(func).callers {
            let caller = *caller;
            if self.node(caller).callees_left.fetch_sub(1, SeqCst) == 1 {
                scope.spawn(move |scope| self.function(caller, scope));
            }
        }
        if let Some(body) = rest {
            self.compile(func, body);
        }
    }

    /// Translates a function, all of whose callees are done. Returns it if it is to be compiled now.
    fn translate<'s>(&'s self, func: u32, scope: &Scope<'s>) -> Option<Located> {
        let node = self.node(func);
        let body = match self.inlined(func) {
            Ok(body) => body,
            Err(error) => {
                self.has_failed.store(true, SeqCst);
                node.error.set(error).expect("each function is taken up once");
                return None;
            }
        };
        let is_candidate = node.has_callers && self.rules.is_candidate(func, &body.function);
        let mut calls = call_graph::callees(&body.function, self.rules.imported);
        calls.sort_unstable();
        calls.dedup();
        let made = node.made.get_or_init(|| Made { is_candidate, calls });
        if is_candidate {
            *lock(&node.candidate) = Some(Arc::new(Candidate::new(&body)));
            if node.is_used.load(SeqCst) {
                self.use_functions(&made.calls, scope);
            }
            // All that call it may be in the cache.
            if node.callers_left.load(SeqCst) == 0 {
                self.release(func, scope);
            }
            return None;
        }
        // Never inlined: calls that lead to it stay.
        if !node.is_reachable {
            return None;
        }
        self.use_functions(&made.calls, scope);
        Some(body)
    }

    /// The translated functions that one may get the bodies of: they are done before it.
    fn inlinable(&self, func: u32) -> impl Iterator<Item = u32> {
        let callees = self.inlining.inlinable[func as usize].iter().copied();
        callees.filter(|callee| self.work.wanted[*callee as usize])
    }

    /// Translates a function and inlines its calls.
    fn inlined(&self, func: u32) -> Result<Located> {
        let body = lock(&self.node(func).body).take().expect("each function is taken up once");
        let mut buffers = lock(&self.scratch).pop().unwrap_or_default();
        let translated = translate(self.context, body, &mut buffers.translation);
        lock(&self.scratch).push(buffers);
        let Translated { mut function, calls } = translated?;
        passes::widen_multiplication(&mut function);
        let candidates: HashMap<u32, Arc<Candidate>> = self
            .inlinable(func)
            .filter_map(|callee| Some((callee, lock(&self.node(callee).candidate).clone()?)))
            .collect();
        let locations = Locations::new(&self.context.info.debug.bodies[func as usize]);
        let body = Located { function, locations };
        passes::inline(func, body, &calls, &candidates, &self.rules).map_err(|error| self.locate(func, error))
    }

    /// Notes that compiled code calls some functions.
    fn use_functions<'s>(&'s self, functions: &'s [u32], scope: &Scope<'s>) {
        let mut lists = vec![functions];
        while let Some(functions) = lists.pop() {
            for func in functions {
                let node = self.node(*func);
                if node.is_used.swap(true, SeqCst) {
                    continue;
                }
                match self.entry(*func).filter(|_| !self.work.wanted[*func as usize]) {
                    Some(entry) => lists.push(&entry.made.calls),
                    None if node.callers_left.load(SeqCst) == 0 => self.release(*func, scope),
                    None => {}
                }
            }
        }
    }

    fn entry(&self, func: u32) -> Option<&Entry> {
        self.cache.as_ref()?.entry(func)
    }

    /// Lets go of a body that nobody inlines any more: it is compiled if something uses it, now or later.
    fn release<'s>(&'s self, func: u32, scope: &Scope<'s>) {
        let node = self.node(func);
        if !node.is_used.load(SeqCst) {
            return;
        }
        // Whoever comes second finds nothing.
        let Some(candidate) = lock(&node.candidate).take() else { return };
        scope.spawn(move |scope| {
            let body = match Arc::try_unwrap(candidate) {
                Ok(candidate) => candidate.body,
                Err(shared) => shared.body.clone(),
            };
            if let Some(made) = node.made.get() {
                self.use_functions(&made.calls, scope);
            }
            self.compile(func, body);
        });
    }

    fn compile(&self, func: u32, body: Located) {
        // Translated for what it is inlined into; its code is in the cache.
        let is_cached = self.entry(func).is_some_and(|entry| entry.had_code);
        if is_cached || !self.work.compiles[func as usize] || self.has_failed.load(SeqCst) {
            return;
        }
        let mut buffers = lock(&self.scratch).pop().unwrap_or_default();
        let compiled = codegen::compile(body, self.context.isa, &mut buffers.codegen, self.options);
        lock(&self.scratch).push(buffers);
        self.context.progress.inspect(|progress| progress.step());
        let result = compiled.map_err(|error| self.locate(func, error));
        self.node(func).result.set(result).expect("each function is compiled once");
    }

    fn locate(&self, func: u32, error: Error) -> Error {
        let index = func + self.rules.imported;
        error.in_function(index, self.context.info.func_name(index))
    }
}

/// Locks what no thread leaves half-done: each only takes or puts a value.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Inlining;
    use crate::scan::Scan;

    #[test]
    fn cycles_through_large_functions_do_not_keep_small_ones_from_being_inlined() {
        // 0 (small) → 1 (large) → 0 and 2; 2 and 3 (small) call each other.
        let scan = |calls: &[u32], size: u32| Scan { calls: calls.to_vec(), size, ..Scan::default() };
        let scans = [scan(&[1], 10), scan(&[0, 2, 0], 10_000), scan(&[3, 3], 10), scan(&[2], 10)];
        let inlining = Inlining::new(&scans, 0, None);
        assert_eq!(inlining.inlinable, [vec![], vec![0, 2], vec![], vec![]]);
        assert!(inlining.may_inline(1, 0) && !inlining.may_inline(0, 1) && !inlining.may_inline(2, 3));
        assert_eq!(inlining.has_callers, [true, false, true, false]);
    }
}
