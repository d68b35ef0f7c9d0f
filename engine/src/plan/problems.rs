//! Errors and warnings found during planning.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};

use crate::diagnostic::Diagnostic;

/// Errors and warnings, in the order of discovery.
#[derive(Default)]
pub(super) struct Problems {
    all: Vec<Diagnostic>,
    /// Those added by [`Problems::push_once`].
    once: HashSet<Diagnostic>,
}

impl Problems {
    pub(super) fn new(all: Vec<Diagnostic>) -> Self {
        Self { all, once: HashSet::new() }
    }

    /// Adds a problem only the first time: the same mistake at a hundred points is one problem.
    pub(super) fn push_once(&mut self, diagnostic: Diagnostic) {
        if self.once.insert(diagnostic.clone()) {
            self.all.push(diagnostic);
        }
    }

    /// Returns all problems.
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
