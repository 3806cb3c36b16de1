//! Turns the facts of a cluster into a report, by pure code without requests, clock or log.

pub(crate) mod age;
pub(crate) mod cni;
pub(crate) mod explain;
pub(crate) mod facts;
pub(crate) mod os;
pub(crate) mod payload;
