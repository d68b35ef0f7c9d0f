use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::resources::Resources;
use crate::stage::Weight;

const LIGHT: Class =
    Class { resources: Resources { threads: None, memory_bytes: None, gpu: None }, weight: Weight::Light };
const HEAVY: Class =
    Class { resources: Resources { threads: None, memory_bytes: None, gpu: None }, weight: Weight::Heavy };

fn capacity(threads: usize) -> Capacity {
    Capacity { threads, cores: threads, memory_bytes: None, devices: vec![] }
}

fn demand(class: u32, estimate_ms: u32) -> Demand {
    Demand { class, group: None, estimate_ms }
}

fn edges(inputs: &[&[u32]]) -> Edges {
    inputs.iter().map(|inputs| inputs.iter().copied().map(SlotId)).collect()
}

/// Nodes without edges that are all misses.
fn queued(demands: Vec<Demand>, classes: &[Class], capacity: Capacity) -> Scheduler {
    let inputs = demands.iter().map(|_| []).collect();
    let mut scheduler = Scheduler::new(inputs, demands, classes, capacity);
    for node in scheduler.take_ready() {
        scheduler.miss(node);
    }
    scheduler
}

fn next(scheduler: &mut Scheduler) -> Vec<u32> {
    scheduler.next_batch().map_or(vec![], |batch| batch.nodes.iter().map(|node| node.0).collect())
}

fn ids(nodes: &[SlotId]) -> Vec<u32> {
    nodes.iter().map(|node| node.0).collect()
}

#[test]
fn critical_path_goes_first_and_equals_go_in_order_of_the_plan() {
    // 0 and 1 take 1 ms; 2 takes 1 ms and leads to 3, which takes 100.
    let inputs = edges(&[&[], &[], &[], &[2]]);
    let demands = vec![demand(0, 1), demand(0, 1), demand(0, 1), demand(0, 100)];
    let mut scheduler = Scheduler::new(inputs, demands, &[LIGHT], capacity(3));
    for node in scheduler.take_ready().into_iter().rev() {
        scheduler.miss(node);
    }
    let order: Vec<_> = (0..3).map(|_| next(&mut scheduler)).collect();
    assert_eq!(order, [[2], [0], [1]]);
}

#[test]
fn estimates_that_come_late_order_what_is_queued_afterwards() {
    let inputs = (0..3).map(|_| []).collect();
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 0); 3], &[LIGHT], capacity(3));
    let ready = scheduler.take_ready();
    scheduler.set_estimates(|node| [5, 9, 7][node.index()]);
    for node in ready {
        scheduler.miss(node);
    }
    assert_eq!((0..3).map(|_| next(&mut scheduler)).collect::<Vec<_>>(), [[1], [2], [0]]);
}

#[test]
fn hits_use_no_resources_and_make_dependents_ready_at_once() {
    let inputs = edges(&[&[], &[0], &[0, 1, 0]]);
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 1); 3], &[LIGHT], capacity(1));
    for expected in 0..3 {
        let ready = scheduler.take_ready();
        assert_eq!(ids(&ready), [expected]);
        scheduler.hit(ready[0]);
    }
    assert!(scheduler.is_done() && scheduler.next_batch().is_none());
    assert_eq!(scheduler.counts(), Counts { nodes: 3, hit: 3, ..Counts::default() });
}

#[test]
fn siblings_that_are_queued_go_as_one_batch_that_waits_for_nobody() {
    let sibling = Demand { class: 0, group: Some(0), estimate_ms: 1 };
    let inputs = edges(&[&[], &[], &[], &[0]]);
    let demands = vec![demand(0, 1), sibling, sibling, sibling];
    let mut scheduler = Scheduler::new(inputs, demands, &[LIGHT], capacity(4));
    for node in scheduler.take_ready().into_iter().rev() {
        scheduler.miss(node);
    }
    assert_eq!(next(&mut scheduler), [0]);
    assert_eq!(next(&mut scheduler), [1, 2]);
    scheduler.finish(SlotId(0));
    assert_eq!(ids(&scheduler.take_ready()), [3]);
    scheduler.miss(SlotId(3));
    assert_eq!(next(&mut scheduler), [3]);
}

#[test]
fn batch_holds_its_resources_until_its_last_member_ends() {
    let sibling = Demand { class: 0, group: Some(0), estimate_ms: 9 };
    let mut scheduler = queued(vec![sibling, sibling, demand(0, 1)], &[LIGHT], capacity(1));
    assert_eq!(next(&mut scheduler), [0, 1]);
    scheduler.finish(SlotId(0));
    assert_eq!(next(&mut scheduler), [0; 0]);
    scheduler.finish(SlotId(1));
    assert_eq!(next(&mut scheduler), [2]);
}

#[test]
fn members_of_a_failed_batch_are_retried_one_by_one() {
    let sibling = Demand { class: 0, group: Some(0), estimate_ms: 1 };
    let mut scheduler = queued(vec![sibling; 3], &[LIGHT], capacity(4));
    assert_eq!(next(&mut scheduler), [0, 1, 2]);
    assert!((0..3).all(|node| scheduler.retry(SlotId(node))));
    assert_eq!((0..4).map(|_| next(&mut scheduler)).collect::<Vec<_>>(), [vec![0], vec![1], vec![2], vec![]]);
}

#[test]
fn heavy_nodes_share_the_free_threads() {
    let mut scheduler = queued(vec![demand(0, 1); 3], &[HEAVY], capacity(8));
    let threads: Vec<_> = std::iter::from_fn(|| scheduler.next_batch()).map(|batch| batch.grant.threads).collect();
    assert_eq!(threads, [2, 3, 3]);
    let mut scheduler = queued(vec![demand(0, 1); 30], &[HEAVY], capacity(4));
    let threads: Vec<_> = std::iter::from_fn(|| scheduler.next_batch()).map(|batch| batch.grant.threads).collect();
    assert_eq!(threads, [1, 1, 1, 1]);
}

#[test]
fn heavy_nodes_that_wait_for_a_device_take_no_share_of_the_threads() {
    let on_gpu = Class { resources: Resources { gpu: Some(1.0), ..Resources::default() }, weight: Weight::Heavy };
    let devices = vec!["cuda:0".to_owned(), "cuda:1".to_owned()];
    let mut scheduler = queued(vec![demand(0, 1); 30], &[on_gpu], Capacity { devices, ..capacity(8) });
    let batches: Vec<_> = std::iter::from_fn(|| scheduler.next_batch()).collect();
    let granted: Vec<_> = batches.iter().map(|batch| (batch.grant.threads, scheduler.device(&batch.grant))).collect();
    assert_eq!(granted, [(4, "cuda:0".to_owned()), (4, "cuda:1".to_owned())]);
}

#[test]
fn devices_that_are_found_later_are_granted_from_then_on() {
    let class = |gpu| Class { resources: Resources { gpu, ..Resources::default() }, weight: Weight::Heavy };
    let mut scheduler = queued(vec![demand(0, 1); 3], &[class(Some(0.0))], capacity(2));
    scheduler.equip(vec!["wgpu:0".to_owned()], &[class(Some(1.0))]);
    let batch = scheduler.next_batch().expect("the device is free");
    assert_eq!(scheduler.device(&batch.grant), "wgpu:0");
    assert!(scheduler.next_batch().is_none(), "it is the only one");
    scheduler.finish(batch.nodes[0]);
    assert!(scheduler.next_batch().is_some());
}

#[test]
fn node_on_the_cpu_overtakes_one_that_waits_for_a_device_but_none_that_waits_for_threads() {
    let on_gpu =
        Class { resources: Resources { gpu: Some(1.0), threads: Some(1), memory_bytes: None }, weight: Weight::Heavy };
    let wide = Class { resources: Resources { threads: Some(4), ..Resources::default() }, weight: Weight::Heavy };
    let capacity = Capacity { devices: vec!["cuda:0".to_owned()], ..capacity(4) };
    let demands = vec![demand(0, 9), demand(0, 8), demand(1, 7), demand(2, 6), demand(1, 5)];
    let mut scheduler = queued(demands, &[on_gpu, LIGHT, wide], capacity);
    // 1 waits for the device, so 2 may go; 3 waits for four threads, so 4 may not.
    assert_eq!((0..3).map(|_| next(&mut scheduler)).collect::<Vec<_>>(), [vec![0], vec![2], vec![]]);
    scheduler.finish(SlotId(0));
    assert_eq!((0..2).map(|_| next(&mut scheduler)).collect::<Vec<_>>(), [vec![1], vec![]]);
    scheduler.finish(SlotId(1));
    assert_eq!(next(&mut scheduler), [0; 0]);
    scheduler.finish(SlotId(2));
    assert_eq!((0..2).map(|_| next(&mut scheduler)).collect::<Vec<_>>(), [vec![3], vec![]]);
}

#[test]
fn deferred_node_uses_nothing_and_is_looked_up_again() {
    let mut scheduler = queued(vec![demand(0, 2), demand(0, 1)], &[LIGHT], capacity(1));
    assert_eq!(next(&mut scheduler), [0]);
    assert!(scheduler.defer(SlotId(0)));
    assert_eq!(next(&mut scheduler), [1]);
    assert_eq!(scheduler.take_ready(), []);
    scheduler.recheck();
    assert_eq!(ids(&scheduler.take_ready()), [0]);
    scheduler.hit(SlotId(0));
    scheduler.finish(SlotId(1));
    assert!(scheduler.is_done());
}

#[test]
fn stopped_run_cancels_what_has_not_started_and_starts_nothing() {
    let inputs = edges(&[&[], &[], &[0], &[2]]);
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 1); 4], &[LIGHT], capacity(1));
    for node in scheduler.take_ready() {
        scheduler.miss(node);
    }
    assert_eq!(next(&mut scheduler), [0]);
    assert_eq!(ids(&scheduler.cancel_rest()), [1, 2, 3]);
    assert!(!scheduler.retry(SlotId(0)) && !scheduler.is_done());
    scheduler.finish(SlotId(0));
    assert!(scheduler.is_done() && scheduler.take_ready().is_empty() && scheduler.next_batch().is_none());
    assert_eq!(scheduler.counts(), Counts { nodes: 4, ran: 1, cancelled: 3, ..Counts::default() });
}

#[test]
fn lost_result_is_made_again_before_those_that_still_need_it() {
    // 1, 2 and 3 read 0; 4 reads 3.
    let inputs = edges(&[&[], &[0], &[0], &[0], &[3]]);
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 1); 5], &[LIGHT], capacity(2));
    scheduler.take_ready();
    scheduler.hit(SlotId(0));
    assert_eq!(ids(&scheduler.take_ready()), [1, 2, 3]);
    scheduler.hit(SlotId(1));
    scheduler.miss(SlotId(2));
    scheduler.miss(SlotId(3));
    assert_eq!(next(&mut scheduler), [3]);
    // While 3 runs it finds that a file of 0 is corrupt.
    assert!(scheduler.revoke(SlotId(0)) && !scheduler.revoke(SlotId(0)));
    assert!(scheduler.retry(SlotId(3)));
    assert_eq!(scheduler.state(SlotId(2)), NodeState::Waiting);
    assert_eq!(next(&mut scheduler), [0; 0]);
    assert_eq!(ids(&scheduler.take_ready()), [0]);
    scheduler.miss(SlotId(0));
    assert_eq!(next(&mut scheduler), [0]);
    scheduler.finish(SlotId(0));
    assert_eq!(ids(&scheduler.take_ready()), [2, 3]);
    assert_eq!(scheduler.state(SlotId(1)), NodeState::Hit);
    for node in [2, 3] {
        scheduler.hit(SlotId(node));
    }
    assert_eq!(ids(&scheduler.take_ready()), [4]);
}

#[test]
fn lost_result_waits_for_its_own_lost_input() {
    let inputs = edges(&[&[], &[0], &[1], &[0]]);
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 1); 4], &[LIGHT], capacity(2));
    scheduler.take_ready();
    scheduler.hit(SlotId(0));
    scheduler.take_ready();
    scheduler.hit(SlotId(1));
    scheduler.miss(SlotId(3));
    assert_eq!(next(&mut scheduler), [3]);
    assert!(scheduler.revoke(SlotId(0)) && scheduler.revoke(SlotId(1)));
    assert_eq!(ids(&scheduler.take_ready()), [0]);
    assert_eq!(ids(&scheduler.fail(SlotId(0))), [1, 2]);
    assert!(!scheduler.defer(SlotId(3)));
    scheduler.finish(SlotId(3));
    assert!(scheduler.is_done());
}

#[test]
fn node_cannot_be_retried_when_its_lost_input_failed() {
    let inputs = edges(&[&[], &[0], &[1]]);
    let mut scheduler = Scheduler::new(inputs, vec![demand(0, 1); 3], &[LIGHT], capacity(2));
    scheduler.take_ready();
    scheduler.hit(SlotId(0));
    scheduler.take_ready();
    scheduler.miss(SlotId(1));
    assert_eq!(next(&mut scheduler), [1]);
    assert!(scheduler.revoke(SlotId(0)));
    assert_eq!(scheduler.fail(SlotId(0)), []);
    assert!(!scheduler.retry(SlotId(1)));
    assert_eq!(ids(&scheduler.fail(SlotId(1))), [2]);
    assert!(scheduler.is_done());
}

#[test]
fn a_hundred_thousand_nodes_with_a_gather_are_scheduled_without_scans() {
    // Were any operation to look at all nodes, this would take minutes.
    let nodes = 100_000;
    let mut inputs: Edges = (0..nodes).map(|_| vec![]).collect();
    inputs.push((0..nodes).map(SlotId));
    let grouped = (0..=nodes).map(|node| Demand { class: 0, group: Some(node / 100), estimate_ms: node % 7 });
    let mut scheduler = Scheduler::new(inputs, grouped.collect(), &[LIGHT], capacity(4));
    while !scheduler.is_done() {
        for node in scheduler.take_ready() {
            scheduler.miss(node);
        }
        while let Some(batch) = scheduler.next_batch() {
            for node in batch.nodes {
                scheduler.finish(node);
            }
        }
    }
    assert_eq!(scheduler.count(NodeState::Ran), nodes as usize + 1);
}

/// A random plan, and random answers of the outside world.
#[derive(Clone, Debug)]
struct Case {
    inputs: Vec<Vec<u32>>,
    demands: Vec<Demand>,
    classes: Vec<Class>,
    capacity: Capacity,
    answers: Vec<u8>,
}

fn cases() -> impl Strategy<Value = Case> {
    let class = (0..4_usize, 0..100_u64, 0..5_usize, any::<bool>()).prop_map(|(threads, memory, gpu, heavy)| Class {
        resources: Resources {
            threads: (threads > 0).then_some(threads),
            memory_bytes: (memory > 30).then_some(memory),
            gpu: [None, Some(0.25), Some(0.5), Some(1.0), Some(2.0)][gpu],
        },
        weight: if heavy { Weight::Heavy } else { Weight::Light },
    });
    let node = (prop::collection::vec(any::<u32>(), 0..4), 0..3_u32, any::<bool>(), 0..20_u32);
    let nodes = prop::collection::vec(node, 1..40);
    let answers = prop::collection::vec(any::<u8>(), 50);
    (nodes, prop::collection::vec(class, 3), 1..5_usize, 2..4_usize, answers).prop_map(
        |(nodes, classes, threads, devices, answers)| {
            let read = |(index, inputs): (usize, &Vec<u32>)| match index as u32 {
                0 => vec![],
                index => inputs.iter().map(|input| input % index).collect(),
            };
            let devices = (0..devices).map(|index| format!("cuda:{index}")).collect();
            Case {
                inputs: nodes.iter().map(|(inputs, ..)| inputs).enumerate().map(read).collect(),
                demands: nodes
                    .iter()
                    .map(|(_, class, grouped, estimate_ms)| Demand {
                        class: *class,
                        group: grouped.then_some(*class),
                        estimate_ms: *estimate_ms,
                    })
                    .collect(),
                classes,
                capacity: Capacity { threads, cores: threads, memory_bytes: Some(100), devices },
                answers,
            }
        },
    )
}

/// Plays a case to its end, checks every step, and returns all steps as text. `lossy` loses results as well.
fn play(case: &Case, lossy: bool) -> (Scheduler, Vec<String>) {
    let inputs: Edges = case.inputs.iter().map(|inputs| inputs.iter().copied().map(SlotId)).collect();
    let mut scheduler = Scheduler::new(inputs, case.demands.clone(), &case.classes, case.capacity.clone());
    let mut steps = Vec::new();
    let mut running: BTreeMap<BatchId, (Grant, BTreeSet<SlotId>)> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    let mut answers = case.answers.iter().copied().cycle();
    let mut answer = move |kinds: u8| answers.next().expect("answers repeat") % kinds;
    for turn in 0.. {
        assert!(turn < 10_000, "the run does not end");
        for node in scheduler.take_ready() {
            assert!(scheduler.inputs.of(node).iter().all(|input| scheduler.state(*input).is_success()));
            let kind = answer(8);
            steps.push(format!("look up {} {kind}", node.0));
            match kind {
                0 => scheduler.hit(node),
                1 if turn < 100 => assert!(scheduler.defer(node)),
                2 => drop(scheduler.fail(node)),
                _ => scheduler.miss(node),
            }
        }
        scheduler.recheck();
        while let Some(batch) = scheduler.next_batch() {
            steps.push(format!("{batch:?}"));
            assert!(batch.nodes.is_sorted() && !batch.nodes.is_empty());
            assert!(batch.nodes.iter().all(|node| scheduler.state(*node) == NodeState::Running));
            running.insert(batch.id, (batch.grant, batch.nodes.into_iter().collect()));
            check_pool(&case.capacity, running.values().map(|(grant, _)| grant));
        }
        let batch = running.keys().copied().nth(usize::from(answer(3))).or(running.keys().copied().next());
        if let Some(id) = batch {
            let members = &mut running.get_mut(&id).expect("it was just found").1;
            let node = members.pop_first().expect("a batch with no members has ended");
            if members.is_empty() {
                running.remove(&id);
            }
            let kind = answer(8);
            steps.push(format!("answer {} {kind}", node.0));
            match kind {
                0 => drop(scheduler.fail(node)),
                1 if turn < 100 => {
                    let input = scheduler.inputs.of(node).first().copied();
                    if let Some(input) = input.filter(|input| lossy && scheduler.revoke(*input)) {
                        ended.remove(&input);
                    }
                    if !scheduler.retry(node) {
                        scheduler.fail(node);
                    }
                }
                2 if turn < 100 => {
                    if !scheduler.defer(node) {
                        scheduler.fail(node);
                    }
                }
                _ => scheduler.finish(node),
            }
        }
        for index in 0..case.inputs.len() {
            let node = SlotId::from_index(index);
            if scheduler.state(node).is_end() {
                ended.insert(node);
            } else {
                assert!(!ended.contains(&node), "node {index} ended twice");
            }
        }
        if scheduler.is_done() {
            break;
        }
        let open = [NodeState::Ready, NodeState::Deferred, NodeState::Queued, NodeState::Running];
        assert!(open.iter().any(|state| scheduler.count(*state) > 0), "nothing can happen any more");
    }
    (scheduler, steps)
}

fn check_pool<'a>(capacity: &Capacity, grants: impl Iterator<Item = &'a Grant> + Clone) {
    assert!(grants.clone().map(|grant| grant.threads).sum::<usize>() <= capacity.threads);
    assert!(grants.clone().all(|grant| grant.threads >= 1));
    assert!(Some(grants.clone().map(|grant| grant.memory_bytes).sum::<u64>()) <= capacity.memory_bytes);
    for device in 0..capacity.devices.len() {
        let shares = grants.clone().flat_map(|grant| &grant.devices).filter(|(index, _)| *index == device);
        assert!(shares.map(|(_, share)| share).sum::<u32>() <= 1000);
    }
}

proptest! {
    #[test]
    fn every_node_ends_once_within_the_pools_and_a_failure_blocks_exactly_its_descendants(case in cases()) {
        let (scheduler, _) = play(&case, false);
        let mut doomed = vec![false; case.inputs.len()];
        for (index, inputs) in case.inputs.iter().enumerate() {
            let state = scheduler.states[index];
            let blocked = inputs.iter().any(|input| doomed[*input as usize]);
            doomed[index] = blocked || state == NodeState::Failed;
            prop_assert_eq!(state == NodeState::Blocked, blocked);
        }
        let failed = scheduler.states.iter().filter(|state| **state == NodeState::Failed);
        prop_assert_eq!(scheduler.counts().failed, failed.count());
        prop_assert_eq!(scheduler.pool.free_threads(), case.capacity.threads);
        prop_assert!(scheduler.batches.is_empty() && scheduler.batch_of.is_empty());
    }

    #[test]
    fn same_answers_give_the_same_order(case in cases()) {
        prop_assert_eq!(play(&case, false).1, play(&case, false).1);
    }

    #[test]
    fn runs_that_lose_results_end_too(case in cases()) {
        let (scheduler, _) = play(&case, true);
        prop_assert_eq!(scheduler.pool.free_threads(), case.capacity.threads);
        prop_assert_eq!(scheduler.tally.iter().sum::<usize>(), case.inputs.len());
    }

    #[test]
    fn stopping_ends_every_node_that_does_not_run(case in cases()) {
        let inputs: Edges = case.inputs.iter().map(|inputs| inputs.iter().copied().map(SlotId)).collect();
        let mut scheduler = Scheduler::new(inputs, case.demands.clone(), &case.classes, case.capacity.clone());
        for node in scheduler.take_ready() {
            scheduler.miss(node);
        }
        let batch = scheduler.next_batch();
        let cancelled = scheduler.cancel_rest().len();
        let running = batch.map_or(vec![], |batch| batch.nodes);
        prop_assert_eq!(cancelled + running.len(), case.inputs.len());
        for node in running {
            prop_assert_eq!(scheduler.cancel(node), vec![]);
        }
        prop_assert!(scheduler.is_done() && scheduler.next_batch().is_none());
    }
}
