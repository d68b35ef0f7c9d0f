//! Stories of runs on a cluster: throw-away clusters of Slurm and Grid Engine on one machine, whose nodes are virtual.
//!
//! Tests that need a daemon which is not installed say so and are skipped; `.ci/run` installs what it can. What users
//! of Slurm have taught other programs is fifteen rules, and each has tests:
//!
//! | | rule | tests |
//! |---|---|---|
//! | 1 | accounting may be off: `squeue` first, then `sacct` | `answers`: accounting off, forgotten, vanished |
//! | 2 | `sacct` forgets at midnight | `answers`: yesterday |
//! | 3 | no answer is unknown, never failed | `answers`: accounting down, controller down |
//! | 4 | few questions; arrays | `answers`: questions; `asked`: arrays, at once |
//! | 5 | GPUs by a template; their partition is for nothing else | `asked`: GPUs |
//! | 6 | account and partition are passed through | `asked`: passed through; `answers`: refused |
//! | 7 | a job in a job inherits nothing | `asked`: head in a job |
//! | 8 | files show themselves late | `answers`: late |
//! | 9 | the whole table of states | `ends`: node failed, not booted, preempted, memory, time, cancelled |
//! | 10 | jobs move between partitions | `asked`: moved |
//! | 11 | a submission that timed out may have worked | `answers`: timed out, without a trace |
//! | 12 | preempted is final; requeued is waiting | `ends`: preempted, requeued |
//! | 13 | own clock, checkpoint, submit again | `ends`: training, stops by itself |
//! | 14 | a failure has its state, reason, node, last lines, peak memory | `ends`: failure of a task, memory |
//! | 15 | the head may die | `head` |

mod answers;
mod asked;
mod commands;
mod ends;
mod head;
mod lab;
mod pilot;
#[path = "../e2e/sandbox.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod sandbox;
mod slurm;
mod study;
