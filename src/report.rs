//! What is known of a cluster and what leaves it: pure code, without requests, clock or log.

pub(crate) mod age;
pub(crate) mod cni;
pub(crate) mod explain;
pub(crate) mod facts;
pub(crate) mod os;
pub(crate) mod payload;
