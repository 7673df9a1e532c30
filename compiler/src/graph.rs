//! Graphs whose nodes are numbers from zero.

/// The strongly connected components of a graph of `count` nodes, given by the nodes that each node leads to: those that others
/// lead to come first (Tarjan 1972, without recursion).
pub(crate) fn components<'g>(count: usize, next: impl Fn(usize) -> &'g [u32]) -> Vec<Vec<u32>> {
    const UNSEEN: u32 = u32::MAX;
    let (mut index, mut low) = (vec![UNSEEN; count], vec![0; count]);
    let (mut on_stack, mut stack) = (vec![false; count], Vec::new());
    let mut seen = 0;
    let mut components = Vec::new();
    // Nodes whose successors are being visited, with the position of the next one.
    let mut path: Vec<(u32, usize)> = Vec::new();
    for root in 0..count as u32 {
        if index[root as usize] != UNSEEN {
            continue;
        }
        path.push((root, 0));
        while let Some((node, position)) = path.last_mut() {
            let node = *node as usize;
            if *position == 0 {
                index[node] = seen;
                low[node] = seen;
                seen += 1;
                on_stack[node] = true;
                stack.push(node as u32);
            }
            if let Some(to) = next(node).get(*position) {
                *position += 1;
                let to = *to as usize;
                if index[to] == UNSEEN {
                    path.push((to as u32, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            path.pop();
            if let Some((from, _)) = path.last() {
                let from = *from as usize;
                low[from] = low[from].min(low[node]);
            }
            if low[node] == index[node] {
                let start = stack.iter().rposition(|member| *member as usize == node).expect("pushed");
                let component = stack.split_off(start);
                component.iter().for_each(|member| on_stack[*member as usize] = false);
                components.push(component);
            }
        }
    }
    components
}
