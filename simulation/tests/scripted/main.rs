//! Rare interleavings, told step by step: each must be right, and go wrong without the rule it is about.

mod one_replica;
mod replicas;
mod script;
