//! Translates, inlines and compiles the functions of a module, callees first.
//!
//! A function is taken up once all that it calls are done, but for those of a cycle that both are in. Its CLIF lives
//! until it is compiled, right after it got what is inlined into it; only what may itself be inlined is kept, until its
//! last caller is done. So memory holds small functions, and as many others as there are threads. What becomes of a
//! function depends on its callees alone, so the result does not depend on the number of threads.

use crate::codegen::{self, CompiledFunction};
use crate::error::{Error, Result};
use crate::module::Body;
use crate::passes::call_graph::{self, CallGraph};
use crate::passes::{self, Candidate, Rules};
use crate::translate::{ModuleContext, Scratch, translate};
use cranelift_codegen::ir::Function;
use rayon::Scope;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// Compiles all bodies, with calls inlined. The results are in index order; functions that nothing calls any more have
/// no code.
///
/// # Errors
/// Of several errors the one of the first function, whatever the order of execution.
pub(crate) fn compile(
    context: &ModuleContext<'_>,
    bodies: Vec<Body<'_>>,
    options: codegen::Options,
) -> Result<Vec<Option<CompiledFunction>>> {
    let (imported, defined) = (context.info.imported_funcs, bodies.len() as u32);
    let called = bodies.par_iter().map(|body| call_graph::called(&body.body, imported, defined)).collect();
    let graph = CallGraph::new(called);
    let nodes = nodes(context, &graph, bodies);
    let ready: Vec<u32> =
        (0..defined).filter(|func| nodes[*func as usize].callees_left.load(SeqCst) == 0).collect();
    let module = Module {
        context,
        options,
        rules: Rules { imported, graph: &graph },
        nodes,
        has_failed: AtomicBool::new(false),
        scratch: Mutex::new(Vec::new()),
    };
    rayon::scope(|scope| {
        let module = &module;
        for func in ready.into_iter().rev() {
            scope.spawn(move |scope| module.function(func, scope));
        }
    });
    let Module { mut nodes, .. } = module;
    match nodes.iter_mut().find_map(|node| node.error.take()) {
        Some(error) => Err(error),
        None => nodes.into_iter().map(|node| node.result.into_inner().transpose()).collect(),
    }
}

/// A function, and what is known of it. Functions are numbered without imported ones.
struct Node<'m> {
    body: Mutex<Option<Body<'m>>>,
    /// Functions that call it and are not in its cycle, ascending.
    callers: Vec<u32>,
    cycle: u32,
    /// Functions of other cycles that it calls, and that are not done.
    callees_left: AtomicUsize,
    /// How many of `callers` are not done.
    callers_left: AtomicUsize,
    /// Whether calls lead to it from outside, before inlining.
    is_reachable: bool,
    /// Whether something has its address, or compiled code calls it: it needs code then.
    is_used: AtomicBool,
    candidate: Mutex<Option<Arc<Candidate>>>,
    /// Why it could not be translated.
    error: OnceLock<Error>,
    /// Empty if there is no code.
    result: OnceLock<Result<CompiledFunction>>,
}

struct Module<'m> {
    context: &'m ModuleContext<'m>,
    options: codegen::Options,
    rules: Rules<'m>,
    nodes: Vec<Node<'m>>,
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

fn nodes<'m>(context: &ModuleContext<'_>, graph: &CallGraph, bodies: Vec<Body<'m>>) -> Vec<Node<'m>> {
    let cycle_of = graph.cycles();
    let mut callers = vec![Vec::new(); bodies.len()];
    let mut callees = vec![0; bodies.len()];
    for (func, list) in graph.callees.iter().enumerate() {
        for callee in list.iter().filter(|callee| cycle_of[**callee as usize] != cycle_of[func]) {
            callers[*callee as usize].push(func as u32);
            callees[func] += 1;
        }
    }
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
        .zip(callers)
        .enumerate()
        .map(|(func, (body, callers))| Node {
            body: Mutex::new(Some(body)),
            cycle: cycle_of[func],
            callees_left: AtomicUsize::new(callees[func]),
            callers_left: AtomicUsize::new(callers.len()),
            callers,
            is_reachable: is_reachable[func],
            is_used: AtomicBool::new(false),
            candidate: Mutex::new(None),
            error: OnceLock::new(),
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

impl<'m> Module<'m> {
    fn node(&self, func: u32) -> &Node<'m> {
        &self.nodes[func as usize]
    }

    /// Takes a function up, all of whose callees are done.
    fn function<'s>(&'s self, func: u32, scope: &Scope<'s>) {
        let node = self.node(func);
        let mut rest = None;
        match self.inlined(func) {
            Ok(function) if !node.callers.is_empty() && self.rules.is_candidate(func, &function) => {
                if node.is_used.load(SeqCst) {
                    self.use_callees(&function, scope);
                }
                *lock(&node.candidate) = Some(Arc::new(Candidate::new(&function)));
            }
            // Never inlined: calls that lead to it stay.
            Ok(function) if node.is_reachable => {
                self.use_callees(&function, scope);
                rest = Some(function);
            }
            Ok(_) => {}
            Err(error) => {
                self.has_failed.store(true, SeqCst);
                node.error.set(error).expect("each function is taken up once");
            }
        }
        for callee in self.outer_callees(func) {
            if self.node(callee).callers_left.fetch_sub(1, SeqCst) == 1 {
                self.release(callee, scope);
            }
        }
        for caller in &node.callers {
            let caller = *caller;
            if self.node(caller).callees_left.fetch_sub(1, SeqCst) == 1 {
                scope.spawn(move |scope| self.function(caller, scope));
            }
        }
        if let Some(function) = rest {
            self.compile(func, function);
        }
    }

    /// The callees of a function that are not in its cycle: they are done before it.
    fn outer_callees(&self, func: u32) -> impl Iterator<Item = u32> {
        let callees = self.rules.graph.callees[func as usize].iter().copied();
        callees.filter(move |callee| self.node(*callee).cycle != self.node(func).cycle)
    }

    /// Translates a function and inlines its calls.
    fn inlined(&self, func: u32) -> Result<Function> {
        let body = lock(&self.node(func).body).take().expect("each function is taken up once");
        let mut buffers = lock(&self.scratch).pop().unwrap_or_default();
        let translated = translate(self.context, body, &mut buffers.translation);
        lock(&self.scratch).push(buffers);
        let mut function = translated?;
        passes::widen_multiplication(&mut function);
        let candidates: HashMap<u32, Arc<Candidate>> = self
            .outer_callees(func)
            .filter_map(|callee| Some((callee, lock(&self.node(callee).candidate).clone()?)))
            .collect();
        passes::inline(func, function, &candidates, &self.rules).map_err(|error| self.locate(func, error))
    }

    /// Notes that compiled code calls what `function` calls.
    fn use_callees<'s>(&'s self, function: &Function, scope: &Scope<'s>) {
        for callee in call_graph::callees(function, self.rules.imported) {
            let node = self.node(callee);
            if !node.is_used.swap(true, SeqCst) && node.callers_left.load(SeqCst) == 0 {
                self.release(callee, scope);
            }
        }
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
            self.use_callees(&body, scope);
            self.compile(func, body);
        });
    }

    fn compile(&self, func: u32, function: Function) {
        if self.has_failed.load(SeqCst) {
            return;
        }
        let mut buffers = lock(&self.scratch).pop().unwrap_or_default();
        let compiled = codegen::compile(function, self.context.isa, &mut buffers.codegen, self.options);
        lock(&self.scratch).push(buffers);
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
