//! Runs the program with faults and hostile peers. Each row of a table has a fault and the expected
//! outcome.
//!
//! Each row runs the built program. In every row, the program prints and posts neither a canary nor
//! the token, follows no redirect, ends in time, and posts the report at most once.
//!
//! `ROW=text cargo test --test faults` runs only the rows with the text in their name or in the
//! name of their test, and prints each of them with its outcome.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod api;
mod configuration;
mod endpoint;
mod proxy;
mod row;
mod run;
mod scene;

use std::collections::BTreeSet;

use row::Row;

/// Defines a test for each table, and the list of all tables.
macro_rules! tables {
    ($($test:ident: $rows:path,)*) => {
        $(
            #[test]
            fn $test() {
                run::all(stringify!($test), $rows());
            }
        )*

        const TABLES: &[(&str, fn() -> Vec<Row>)] = &[$((stringify!($test), $rows)),*];
    };
}

tables! {
    the_endpoint_fails: endpoint::rows,
    the_proxy_fails: proxy::rows,
    the_api_server_cannot_be_reached: api::connecting,
    the_api_server_refuses: api::refusals,
    the_api_server_answers_strangely: answers::rows,
    the_configuration_is_wrong: configuration::rows,
}

fn names() -> Vec<String> {
    let named = |(test, rows): &(&str, fn() -> Vec<Row>)| {
        let names = rows().into_iter().map(|row| run::full_name(test, &row));
        names.collect::<Vec<_>>()
    };
    TABLES.iter().flat_map(named).collect()
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let names = names();
    let mut known = BTreeSet::new();
    for name in &names {
        assert!(known.insert(name), "two rows are named {name:?}");
    }
    // Most rows are made in loops. A loop over an empty list makes none, and no other test fails.
    assert!(names.len() > 400, "only {} rows", names.len());
}

/// Fails if `ROW` selects no row of any table. The other tests cannot notice: each passes if none
/// of its rows is selected.
#[test]
fn the_selection_is_not_empty() {
    let selected = names().iter().any(|name| run::is_selected(name));
    let text = run::selection().unwrap_or_default();
    assert!(selected, "no row has {text:?} in its name");
}
