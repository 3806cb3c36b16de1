//! The modules of `metrics-responder`, in the order in which data passes through them, so that tests
//! and fuzzers reach them. The program itself is `main.rs`.

pub mod args;
pub mod config;
pub mod env;
pub mod proxy;

pub mod kube;

pub mod cni;
pub mod facts;
pub mod os;
pub mod payload;

pub mod send;
pub mod spread;

pub mod explain;
pub mod manifest;
pub mod record;
pub mod schedule;

pub mod error;
pub mod http;
pub mod json;
pub mod log;
pub mod object;
