//! The graph of stages: its topological order and its cycles.

use std::collections::{HashMap, HashSet};

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Orders stages so that each follows those that feed it. The error has one cycle for each strongly connected
/// component; its first stage is repeated at the end.
pub(super) fn order(stages: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut graph = DiGraph::<(), (), usize>::default();
    // Reversed twice, because `toposort` starts from the last node: independent stages keep their order.
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
    let has_cycle = |nodes: &Vec<NodeIndex<usize>>| nodes.len() > 1 || graph.find_edge(nodes[0], nodes[0]).is_some();
    let mut components = tarjan_scc(graph);
    components.retain(has_cycle);
    components.iter().map(|component| cycle(graph, component)).collect()
}

fn cycle(graph: &DiGraph<(), (), usize>, component: &[NodeIndex<usize>]) -> Vec<NodeIndex<usize>> {
    let members: HashSet<_> = component.iter().collect();
    // Every node of a component has an edge to another of its nodes, so the walk must return to a node on its path.
    let mut path = vec![*component.iter().max().expect("a component has nodes")];
    let mut positions = HashMap::from([(path[0], 0)]);
    loop {
        let last = path[path.len() - 1];
        let next = graph.neighbors(last).find(|next| members.contains(next)).expect("an edge stays in the component");
        if let Some(first) = positions.get(&next) {
            let mut cycle = path.split_off(*first);
            cycle.push(next);
            return cycle;
        }
        positions.insert(next, path.len());
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn stages_follow_their_inputs() {
        assert_eq!(order(4, &[(3, 0), (0, 1), (1, 2)]), Ok(vec![3, 0, 1, 2]));
    }

    #[test]
    fn a_cycle_is_returned_as_a_path() {
        assert_eq!(order(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]), Err(vec![vec![1, 2, 1]]));
        assert_eq!(order(1, &[(0, 0)]), Err(vec![vec![0, 0]]));
    }

    #[test]
    fn each_component_gives_one_cycle() {
        let mut cycles = order(5, &[(0, 1), (1, 0), (2, 2), (3, 4), (4, 3), (1, 3)]).unwrap_err();
        cycles.sort();
        assert_eq!(cycles, [vec![0, 1, 0], vec![2, 2], vec![3, 4, 3]]);
    }
}
