//! Rare interleavings, scripted step by step. Each keeps the promise, and breaks it without its rule.

mod one_replica;
mod replicas;
mod script;
