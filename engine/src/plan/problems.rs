//! Problems and warnings that are found while a plan is made.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};

use crate::diagnostic::Diagnostic;

/// Problems in the order in which they were found.
#[derive(Default)]
pub(super) struct Problems {
    all: Vec<Diagnostic>,
    /// Those that were told once for all points.
    told: HashSet<Diagnostic>,
}

impl Problems {
    pub(super) fn new(all: Vec<Diagnostic>) -> Self {
        Self { all, told: HashSet::new() }
    }

    /// Adds a problem unless it was added so before: the same slip at a hundred points is one problem.
    pub(super) fn push_once(&mut self, diagnostic: Diagnostic) {
        if !self.told.contains(&diagnostic) {
            self.told.insert(diagnostic.clone());
            self.all.push(diagnostic);
        }
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<Diagnostic> {
        self.all
    }
}

impl Deref for Problems {
    type Target = Vec<Diagnostic>;

    fn deref(&self) -> &Vec<Diagnostic> {
        &self.all
    }
}

impl DerefMut for Problems {
    fn deref_mut(&mut self) -> &mut Vec<Diagnostic> {
        &mut self.all
    }
}
