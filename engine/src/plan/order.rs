//! The graph of stages: which feeds which, in what order, and whether they go in a circle.

use std::collections::{HashMap, HashSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Orders stages so that each comes after those that feed it; an error gives one cycle of each group of stages that feed each
/// other, its first stage repeated.
pub(super) fn order(stages: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
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
        Err(_) => {
            let stage = |node: NodeIndex<usize>| stages - 1 - node.index();
            Err(cycles(&graph).into_iter().map(|cycle| cycle.into_iter().map(stage).collect()).collect())
        }
    }
}

fn mirror(stages: usize, stage: usize) -> NodeIndex<usize> {
    NodeIndex::new(stages - 1 - stage)
}

fn cycles(graph: &DiGraph<(), (), usize>) -> Vec<Vec<NodeIndex<usize>>> {
    let is_knot = |knot: &Vec<NodeIndex<usize>>| knot.len() > 1 || graph.find_edge(knot[0], knot[0]).is_some();
    let mut knots = tarjan_scc(graph);
    knots.retain(is_knot);
    knots.iter().map(|knot| cycle(graph, knot)).collect()
}

fn cycle(graph: &DiGraph<(), (), usize>, knot: &[NodeIndex<usize>]) -> Vec<NodeIndex<usize>> {
    let members: HashSet<_> = knot.iter().collect();
    // Within a knot every node leads to another of its nodes: walking on must come back to a node seen before.
    let mut path = vec![*knot.iter().max().expect("a knot has nodes")];
    let mut places = HashMap::from([(path[0], 0)]);
    loop {
        let last = path[path.len() - 1];
        let next = graph.neighbors(last).find(|next| members.contains(next)).expect("a knot has no way out only");
        if let Some(first) = places.get(&next) {
            let mut cycle = path.split_off(*first);
            cycle.push(next);
            return cycle;
        }
        places.insert(next, path.len());
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
        assert_eq!(order(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]), Err(vec![vec![1, 2, 1]]));
        assert_eq!(order(1, &[(0, 0)]), Err(vec![vec![0, 0]]));
    }

    #[test]
    fn each_group_of_stages_gives_a_cycle() {
        let mut cycles = order(5, &[(0, 1), (1, 0), (2, 2), (3, 4), (4, 3), (1, 3)]).unwrap_err();
        cycles.sort();
        assert_eq!(cycles, [vec![0, 1, 0], vec![2, 2], vec![3, 4, 3]]);
    }
}
