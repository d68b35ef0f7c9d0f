//! The graph of stages: which feeds which, in what order, and whether they go in a circle.

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Orders stages so that each comes after those that feed it; an error gives one cycle, its first stage repeated.
pub(super) fn order(stages: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, Vec<usize>> {
    let mut graph = DiGraph::<(), (), usize>::default();
    // Reversed twice, because `toposort` walks from the last node: so stages that are free of each other keep their order.
    for _ in 0..stages {
        graph.add_node(());
    }
    for (from, to) in edges {
        graph.update_edge(mirror(stages, *from), mirror(stages, *to), ());
    }
    match toposort(&graph, None) {
        Ok(sorted) => Ok(sorted.into_iter().map(|node| stages - 1 - node.index()).collect()),
        Err(_) => Err(cycle(&graph).into_iter().map(|node| stages - 1 - node.index()).collect()),
    }
}

fn mirror(stages: usize, stage: usize) -> NodeIndex<usize> {
    NodeIndex::new(stages - 1 - stage)
}

fn cycle(graph: &DiGraph<(), (), usize>) -> Vec<NodeIndex<usize>> {
    let knots = tarjan_scc(graph);
    let in_knot = |knot: &&Vec<NodeIndex<usize>>| knot.len() > 1 || graph.find_edge(knot[0], knot[0]).is_some();
    let knot = knots.iter().find(in_knot).expect("toposort failed, so there is a cycle");
    // Within a knot every node leads to another of its nodes: walking on must come back to a node seen before.
    let mut path = vec![*knot.iter().max().expect("a knot has nodes")];
    loop {
        let last = path[path.len() - 1];
        let next = graph.neighbors(last).find(|next| knot.contains(next)).expect("a knot has no way out only");
        if let Some(first) = path.iter().position(|seen| *seen == next) {
            let mut cycle = path.split_off(first);
            cycle.push(next);
            return cycle;
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn stages_follow_what_feeds_them() {
        assert_eq!(order(4, &[(3, 0), (0, 1), (1, 2)]), Ok(vec![3, 0, 1, 2]));
    }

    #[test]
    fn a_cycle_is_given_as_a_path() {
        assert_eq!(order(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]), Err(vec![1, 2, 1]));
        assert_eq!(order(1, &[(0, 0)]), Err(vec![0, 0]));
    }
}
