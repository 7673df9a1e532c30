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

/// For each node the number of its cycle; nodes of one cycle have the same, and those that it leads to have lower ones.
pub(crate) fn cycles(next: &[Vec<u32>]) -> Vec<u32> {
    let mut cycle_of = vec![0; next.len()];
    for (number, component) in components(next.len(), |node| &next[node]).into_iter().enumerate() {
        for node in component {
            cycle_of[node as usize] = number as u32;
        }
    }
    cycle_of
}

#[cfg(test)]
mod tests {
    use super::cycles;

    #[test]
    fn cycles_are_found() {
        // 0 → 1 → 2 → 1 (a cycle), 0 → 3, 2 → 3, 4 alone, 5 → 5.
        let cycles = cycles(&[vec![1, 3], vec![2], vec![1, 3], vec![], vec![], vec![5]]);
        assert_eq!(cycles[1], cycles[2]);
        let others = [0, 1, 3, 4, 5].map(|node: usize| cycles[node]);
        assert!(others.iter().all(|cycle| others.iter().filter(|other| *other == cycle).count() == 1));
    }

    #[test]
    fn long_chains_need_no_stack() {
        let count = 200_000;
        let next: Vec<Vec<u32>> =
            (0..count).map(|node| if node + 1 < count { vec![node + 1] } else { vec![] }).collect();
        assert!(cycles(&next).is_sorted_by(|from, to| from > to));
    }
}
