//! The stories. `.ci/run` tells them from all other tests by the name of this module: they wait more than they compute,
//! so many run at once.

mod answers;
mod asked;
mod commands;
mod ends;
mod head;
mod pilot;
mod study;
